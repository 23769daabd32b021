import { encodeFrameHeader } from '../src/frames/frame-header.ts';
import type { StreamMeta } from '../src/frames/meta.ts';
import { metaOf } from './writing.ts';

export const CRLF = Buffer.from('\r\n');
export const stop = encodeFrameHeader('stop', 0, 0);

export function meta(more: Partial<StreamMeta> | Record<string, unknown> = {}): Buffer {
  return metaJson(JSON.stringify({ ...metaOf(4096, 100), ...more }));
}

export function metaJson(json: string | Uint8Array): Buffer {
  const bytes = Buffer.from(json);
  return Buffer.concat([encodeFrameHeader('meta', 0, bytes.length), bytes, CRLF]);
}

export function data(start: number, length: number, payload: Uint8Array = new Uint8Array(length)): Buffer {
  return Buffer.concat([encodeFrameHeader('data', start, length), payload, CRLF]);
}

export const zero = (start: number, length: number) => encodeFrameHeader('zero', start, length);

export function trailer(json: string): Buffer {
  return Buffer.concat([Buffer.from(json), CRLF, encodeFrameHeader('comp', 0, json.length)]);
}
