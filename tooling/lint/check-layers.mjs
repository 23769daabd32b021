// Run by `pnpm run lint:workspace`: exit 1 and a line for each import that crosses the layers the wrong way.
import { fileURLToPath } from 'node:url';
import { checkLayers } from './src/check.mjs';
import { layers, reserved } from './src/layers.mjs';

const faults = checkLayers(fileURLToPath(new URL('../..', import.meta.url)), { layers, reserved });
for (const sentence of faults) process.stderr.write(`${sentence}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
