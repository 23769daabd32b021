// `npm run demo`: everything from a bare machine to a backup that comes back, on a throw-away VM.
import { base } from './debian-packages.mjs';
import { build, javascriptPackages, run, systemPackages } from './steps.mjs';

systemPackages(base);
javascriptPackages();
build();
run('node', ['tooling/demo/src/main.ts', ...process.argv.slice(2)]);
