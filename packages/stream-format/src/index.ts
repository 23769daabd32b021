export { Adler32 } from './checks/adler32.ts';
export {
  type CheckDepth,
  type CheckOptions,
  type CheckReport,
  checkStream,
  type StreamProblem,
} from './checks/check.ts';
export { CheckedSource, checkedSource } from './checks/checked-source.ts';
export { ChunkChecksums, ChunkHasher, DEFAULT_CHUNK_BYTES } from './checks/chunk-checksums.ts';
export { StreamFormatError, type StreamFormatErrorCode, type StreamFormatErrorOptions } from './errors.ts';
export type { CompressionMethod } from './frames/codec.ts';
export { FrameIndex } from './frames/frame-index.ts';
export type { StreamMeta } from './frames/meta.ts';
export { MAX_FRAMES, MAX_META_BYTES, MAX_PIECE_BYTES, WRITE_LIMIT_BYTES } from './limits.ts';
export { SpareBuffers } from './read/spare-buffers.ts';
export { type GuestRange, type OpenOptions, type Piece, StreamFile } from './read/stream-file.ts';
export { type ReadStreamOptions, readStream, type StreamPart } from './read/stream-reader.ts';
export { type Salvage, type SalvageOptions, type SalvageProof, salvage } from './salvage/salvage.ts';
export { bytesSource, type RandomAccessSource, type Sink } from './source.ts';
export type { PayloadPlace } from './write/segment-writer.ts';
export { type StreamSummary, StreamWriter, type StreamWriterOptions } from './write/stream-writer.ts';
