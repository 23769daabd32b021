import { preset } from '@virtnbd/presets/tsup';

// The watchdog is a program of its own: it is started by its address, beside index.js.
export default preset({ index: 'src/index.ts', 'thaw-watchdog': 'src/guest/thaw-watchdog.ts' }, ['index']);
