// node restore-and-die.ts FOLDER TARGET TEMP FORMAT PHASE EVENT: a restore that kills itself, as by a power cut, when it tells
// the first EVENT (`phase`, `progress`, `phase-done`) of the phase PHASE.
import { LocalHost } from '@virtnbd/host';
import { runRestore } from '../src/index.ts';
import { imageFormat } from '../src/target/image-format.ts';

const [folder = '', target = '', tempFolder = '', format = '', phase, at] = process.argv.slice(2);
let now = '';

await runRestore(
  { folder, target, point: 'latest', verify: true, format: imageFormat(format) },
  {
    host: new LocalHost(),
    tempFolder,
    onEvent: (event) => {
      if (event.type === 'phase') now = event.phase;
      if (event.type === at && now === phase) process.kill(process.pid, 'SIGKILL');
    },
  },
);
