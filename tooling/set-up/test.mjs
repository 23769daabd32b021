// `npm test`: everything from a bare machine to the result of the whole test suite.
import { base, counterparts } from './debian-packages.mjs';
import { report } from './report.mjs';
import { build, javascriptPackages, pnpm, say, systemPackages, turbo } from './steps.mjs';

const ci = Boolean(process.env.CI);
systemPackages(base);
systemPackages(counterparts, { optional: !ci });
javascriptPackages();
build();
say('types and lint');
turbo(['typecheck', 'lint'], ['--output-logs=errors-only'], { quiet: true });
pnpm(['run', 'lint:workspace'], { quiet: true });
say('tests, against real libvirt, qemu and the established tool');
// They take a quarter of an hour. A test that never ends must not keep what the others found to itself.
const exitCode = turbo(['test'], ['--output-logs=new-only', '--continue'], { allowFailure: true, minutes: 60 });
process.exitCode = report({ maySkip: !ci }) && exitCode === 0 ? 0 : 1;
