import { parentPort } from 'node:worker_threads';
import { type SegmentSums, segmentSums } from './segment-sums.ts';

/** Asks for the sums of memory that both threads see. */
export interface SumsRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly chunkSize: number;
}

export interface SumsReply {
  readonly id: number;
  readonly sums: SegmentSums;
}

parentPort?.on('message', ({ id, bytes, chunkSize }: SumsRequest) => {
  const reply: SumsReply = { id, sums: segmentSums(bytes, chunkSize) };
  parentPort?.postMessage(reply);
});
