import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { type BackupSet, bootFileName, domainXmlName, type RestorePoint } from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';

/** Far above any domain's XML. */
const XML_LIMIT = 16 * 1024 * 1024;
/** Firmware has 4 to 16 MiB, a kernel 15; an initrd can be large. */
const BOOT_FILE_LIMIT = 1024 * 1024 * 1024;

/** What was saved beside the disks of a point, compared with the manifest where the point has one. */
export class PointFiles {
  readonly #host: Host;
  readonly #folder: string;
  readonly #point: RestorePoint;

  constructor(host: Host, set: BackupSet, point: RestorePoint) {
    this.#host = host;
    this.#folder = set.folder;
    this.#point = point;
  }

  /** @throws RecoveryError `NO_CONFIGURATION`, `DAMAGED` */
  async domainXml(): Promise<string> {
    const name = this.#named((ident) => domainXmlName(ident));
    const bytes = name === null ? null : await this.#read(name, XML_LIMIT);
    if (bytes !== null) return Buffer.from(bytes).toString('utf8');
    const { id } = this.#point;
    const text = `The configuration of the VM is not saved at ${id}: a VM cannot be made of its disks alone. Restore them, or use virtnbdmap.`;
    throw new RecoveryError('NO_CONFIGURATION', text, { point: id });
  }

  /** The saved copy of a boot file of the domain's XML; null when there is none. @throws RecoveryError `DAMAGED` */
  async bootFile(path: string): Promise<Uint8Array | null> {
    const name = this.#named((ident) => bootFileName(basename(path), ident));
    return name === null ? null : await this.#read(name, BOOT_FILE_LIMIT);
  }

  /** A file's name at this point; null where no such name can be. An offline increment of the established tool has its parent's. */
  #named(name: (ident: string) => string): string | null {
    const { id, manifest } = this.#point;
    try {
      const known = name(id.replace(/\+offline$/, ''));
      const listed = manifest === null || manifest.files.some((file) => file.name === known);
      return listed ? known : null;
    } catch {
      return null;
    }
  }

  async #read(name: string, limit: number): Promise<Uint8Array | null> {
    const { id, manifest } = this.#point;
    const entry = manifest?.files.find((file) => file.name === name);
    let bytes: Uint8Array;
    try {
      bytes = await this.#host.files.readSmall(join(this.#folder, name), limit);
    } catch (cause) {
      const absent = cause instanceof HostError && cause.code === 'NOT_FOUND';
      if (!absent) throw cause;
      if (entry === undefined) return null;
      const text = `${name}, which the manifest of ${id} names, is not there. Use another copy of the folder.`;
      throw new RecoveryError('DAMAGED', text, { point: id, file: name, cause });
    }
    if (entry === undefined || createHash('sha256').update(bytes).digest('hex') === entry.sha256) return bytes;
    const text = `${name} is not the file that the manifest of ${id} names: it is damaged. Use another copy of the folder.`;
    throw new RecoveryError('DAMAGED', text, { point: id, file: name });
  }
}
