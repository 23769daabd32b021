import { preset } from '@virtnbd/presets/tsup';

// The checksums' thread is a file of its own: it is started by its address, beside index.js.
export default preset({ index: 'src/index.ts', 'sums-worker': 'src/checks/sums-worker.ts' }, ['index']);
