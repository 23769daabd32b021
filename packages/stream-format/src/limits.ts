/** Limits of a reader and a writer, in bytes unless said otherwise. They are part of SPEC.md ("Limits"). */

/** The JSON of a meta frame. */
export const MAX_META_BYTES = 1024 * 1024;

/** Data and zero frames in one file: a count. */
export const MAX_FRAMES = 2 ** 26;

/** Guest bytes that one LZ4 frame may hold, and that `StreamFile.payload` returns in one piece. */
export const MAX_PIECE_BYTES = 64 * 1024 * 1024;

/** Guest bytes of a data frame that we write: less than this. Larger ones are cut by the established tool's reader. */
export const WRITE_LIMIT_BYTES = 32 * 1024 * 1024;
