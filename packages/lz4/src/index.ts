export { compressBound, type Lz4Engine, type Lz4EngineName } from './engine.ts';
export { Lz4Error, type Lz4ErrorCode } from './errors.ts';
export { loadLz4 } from './load.ts';
