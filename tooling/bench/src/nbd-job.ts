/** What the worker is told to do. */
export type NbdJob = { uri: string; connections?: number } & (
  | { kind: 'read' }
  | { kind: 'copy'; target: string }
  | { kind: 'small-reads'; count: number; depth: number }
  | { kind: 'extents' }
);
