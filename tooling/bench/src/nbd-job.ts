/** What the worker is told to do. */
export type NbdJob = { uri: string; connections?: number } & (
  | { kind: 'read' }
  | { kind: 'copy'; target: string }
  | { kind: 'small-reads'; count: number; depth: number }
  /** At places of their own, the same ones each time. */
  | { kind: 'random-reads'; count: number; depth: number }
  | { kind: 'extents' }
  /** No server: all frames of a stream file. */
  | { kind: 'decompress'; file: string }
);
