import { preset } from '@virtnbd/presets/tsup';

// The compile cache is used before anything else is loaded.
export default preset({ index: 'src/index.ts', 'compile-cache': 'src/compile-cache.ts' }, ['index', 'compile-cache']);
