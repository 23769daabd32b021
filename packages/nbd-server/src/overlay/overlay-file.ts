/** The file of an overlay, as HostFile of @virtnbd/host is one. Offsets and lengths are bytes. */
export interface OverlayFile {
  size(): Promise<number>;
  /** Fills the whole buffer; ranges that were never written read as zeroes. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** Writes all of the data. */
  writeAt(offset: number, data: Uint8Array): Promise<void>;
  /** Resolves when all that was written is on stable storage. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}
