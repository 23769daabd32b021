/** Numbers of 64 bits, as qcow2 has them; those past 2^53 are for the caller to have kept out. */

const HIGH = 2 ** 32;

export function readU64(view: DataView, offset: number): number {
  return view.getUint32(offset) * HIGH + view.getUint32(offset + 4);
}

/** @param flags for the upper 32 bits, which `value` leaves free */
export function writeU64(view: DataView, offset: number, value: number, flags = 0): void {
  view.setUint32(offset, Math.floor(value / HIGH) + flags);
  view.setUint32(offset + 4, value % HIGH);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
