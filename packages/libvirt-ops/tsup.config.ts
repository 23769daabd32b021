import { preset } from '@virtnbd/presets/tsup';

// The worker thread is a file of its own: it is started by its address, beside index.js.
export default preset({ index: 'src/index.ts', worker: 'src/worker.ts' }, ['index']);
