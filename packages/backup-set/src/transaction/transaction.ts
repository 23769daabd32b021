import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Host, HostFile } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import {
  assertSafeName,
  CHECKPOINT_FOLDER,
  CHKSUM_SUFFIX,
  chunkFileNameOf,
  manifestName,
  parseFileName,
  stagedCheckpointName,
} from '../names.ts';
import { addManifest } from '../points/piped-points.ts';
import { dropIntent, type Intent, type JobTraces, readIntents, writeIntent } from '../records/intent.ts';
import { encodeManifest, type FileRole, type Manifest, type ManifestFile, type Writer } from '../records/manifest.ts';
import { BackupSet } from '../set.ts';
import { FolderOutput, type PointOutput } from './point-output.ts';
import { finishFiles, type Recovery, settleIntent } from './recover.ts';
import type { CommitInput, TransactionOptions, WrittenData } from './transaction-input.ts';
import { manifestOf, requireAbsent, type TransactionPlan, toIntent, withPartial } from './transaction-plan.ts';

type State = 'open' | 'sealed' | 'committed' | 'ended';

/**
 * A restore point in the making. The steps are apart so that a caller can act between them, and whatever happens in
 * between, `recover` ends it:
 *
 *     begin ─▶ createData, dataWritten, writeSmall, setCheckpoint (all under *.partial) ─▶ seal ─▶ commit ─▶ finish ─▶ end
 *              ◀────────────────────── rolled back ──────────────────────────────▶│◀──── rolled forward ────▶
 *
 * Every file is in the intent before it exists, and none of them may have existed before: a roll-back can then remove
 * just these. The caller holds the folder's lock from before `begin` until after `end` or `rollBack`.
 */
export class SetTransaction {
  readonly folder: string;
  readonly #host: Host;
  readonly #writer: Writer;
  readonly #output: PointOutput;
  readonly #entries = new Map<string, ManifestFile>();
  readonly #made = new Set<string>();
  #intent: Intent;
  #amending: Promise<void> = Promise.resolve();
  #state: State = 'open';
  #manifest: Manifest | null = null;

  private constructor(host: Host, folder: string, intent: Intent, writer: Writer, output: PointOutput) {
    this.#host = host;
    this.folder = folder;
    this.#intent = intent;
    this.#writer = writer;
    this.#output = output;
  }

  /**
   * Checks that the point follows a committed one and that none of its files exists, and writes the intent.
   *
   * @throws BackupSetError `EXISTS`, `UNKNOWN_POINT`, or what is wrong with the parent; HostError
   */
  static async begin(
    host: Host,
    folder: string,
    plan: TransactionPlan,
    { pipe, signal }: TransactionOptions = {},
  ): Promise<SetTransaction> {
    const { checkpointFolder, point } = plan;
    const piped = pipe !== undefined;
    const set = await BackupSet.open(host, folder, {
      piped,
      ...(checkpointFolder !== undefined && { checkpointFolder }),
    });
    const intent = await toIntent(host, set, plan, piped);
    const others = await readIntents(host, folder);
    // A full through a pipe follows another one: the chain before has ended, and none of its files is here.
    const taken = set.points.some(({ id }) => id === point) && !(piped && plan.parent === null);
    if (taken || others.some((other) => other.point === point)) {
      const text = `The restore point ${point} exists already in ${folder}, or a run that was to make it has not ended.`;
      throw new BackupSetError('EXISTS', text, { point });
    }
    // The zip's code is loaded here, since few backups are piped, and loading it takes time.
    const output = piped
      ? new (await import('../zip/zip-output.ts')).ZipOutput(pipe, intent.checkpoints, signal)
      : new FolderOutput(host, folder);
    await requireAbsent(host, folder, [manifestName(point)]);
    await output.requireFree(intent.files);
    await writeIntent(host, folder, intent, false);
    return new SetTransaction(host, folder, intent, plan.writer, output);
  }

  /** As it stands on the disk. `runDescription(intent.run)` is to be the new checkpoint's description. */
  get intent(): Intent {
    return this.#intent;
  }

  /** Creates the data file. The caller writes and closes it and then says so by `dataWritten`. */
  async createData(name: string): Promise<HostFile> {
    await this.#announce([name, chunkFileNameOf(name), `${name}${CHKSUM_SUFFIX}`]);
    this.#made.add(name);
    return await this.#output.create(name);
  }

  /** Records a data file that is complete, and writes its checksum files. */
  async dataWritten(name: string, { kind, size, chunks, adler32 }: WrittenData): Promise<void> {
    this.#require('open');
    const fits = this.#made.has(name) && chunks.fileSize === size && (kind === 'stream') === (adler32 !== undefined);
    if (!fits) throw new BackupSetError('STATE', `${name} was not made here, or its sizes and checksums do not fit.`);
    const chunkName = chunkFileNameOf(name);
    await this.writeSmall(chunkName, 'chunks', chunks.encode());
    if (adler32 !== undefined) await this.writeSmall(`${name}${CHKSUM_SUFFIX}`, 'adler32', String(adler32));
    const sha256 = this.#entries.get(chunkName)?.sha256 ?? '';
    const sum = adler32 === undefined ? {} : { adler32 };
    this.#entries.set(name, { name, role: kind, size, ...sum, chunks: { name: chunkName, sha256 } });
  }

  /** Writes a small file of the point. */
  async writeSmall(
    name: string,
    role: Exclude<FileRole, 'stream' | 'raw' | 'checkpoint-xml'>,
    data: Uint8Array | string,
  ): Promise<void> {
    await this.#announce([name]);
    this.#made.add(name);
    const bytes = Buffer.from(data);
    await this.#output.writeSmall(name, bytes);
    this.#entries.set(name, { name, role, size: bytes.length, sha256: sha256Of(bytes) });
  }

  /** As writeSmall, for a file that may be large: a kernel's initial file system, for instance. */
  async writeCopy(
    name: string,
    role: Exclude<FileRole, 'stream' | 'raw' | 'checkpoint-xml'>,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    await this.#announce([name]);
    this.#made.add(name);
    const hash = createHash('sha256');
    let size = 0;
    await using file = await this.#output.create(name);
    for await (const piece of content) {
      hash.update(piece);
      size += piece.length;
      await file.write([piece]);
    }
    this.#entries.set(name, { name, role, size, sha256: hash.digest('hex') });
  }

  /** Records which checkpoint the job made: first its identity, for a roll-back, then its XML. */
  async setCheckpoint(checkpoint: { creationTime: number; xml: string }): Promise<void> {
    this.#require('open');
    const { checkpoint: name, checkpointFolder } = this.#intent;
    if (name === null) throw new BackupSetError('STATE', `The run was not to make a checkpoint.`);
    await this.#amend(() => ({ checkpointTime: checkpoint.creationTime }));
    await this.#stageCheckpoint(name, checkpoint.xml);
    if (checkpointFolder !== null) return;
    const bytes = Buffer.from(checkpoint.xml);
    const path = `${CHECKPOINT_FOLDER}/${name}.xml`;
    if (!this.#output.inFolder) await this.#output.writeSmall(path, bytes);
    this.#entries.set(path, { name: path, role: 'checkpoint-xml', size: bytes.length, sha256: sha256Of(bytes) });
  }

  /** Records, before it happens, that checkpoints of an older chain are removed. */
  async markSuperseded(checkpoints: readonly string[]): Promise<void> {
    this.#require('open');
    await this.#amend(() => ({ superseded: checkpoints }));
  }

  /** Records socket and scratch files before they are made. */
  async setJob(job: JobTraces): Promise<void> {
    this.#require('open');
    await this.#amend(() => ({ job }));
  }

  /** Makes all files last under their names. */
  async seal(): Promise<void> {
    this.#require('open');
    const open = [...this.#made].find((name) => !this.#isComplete(name));
    if (open !== undefined) throw new BackupSetError('STATE', `${open} was created and is not recorded as written.`);
    await this.#output.seal(this.#made);
    this.#state = 'sealed';
  }

  /**
   * Puts the manifest in place: from then on the point exists. When it rejects, whether it does is not known;
   * `rollBack` finds out.
   */
  async commit({ created, disks, proof }: CommitInput): Promise<Manifest> {
    this.#require('sealed');
    const files = [...this.#entries.values()];
    const manifest = manifestOf(this.#intent, { writer: this.#writer, created, disks, files, proof });
    const bytes = encodeManifest(manifest);
    const { checkpoint } = this.#intent;
    if (!this.#output.inFolder && checkpoint !== null) await addManifest(this.#host, this.folder, checkpoint, manifest);
    await this.#output.commit(manifest, bytes);
    // No file of a piped point tells the next run that it is complete.
    if (!this.#output.inFolder) await this.#amend(() => ({ piped: 'delivered' }));
    this.#manifest = manifest;
    this.#state = 'committed';
    return manifest;
  }

  /** Writes DOMAIN.cpt and the checkpoint's XML. May be called again. */
  async finish(): Promise<void> {
    this.#require('committed');
    if (this.#manifest !== null) await finishFiles(this.#host, this.folder, this.#intent, this.#manifest);
  }

  /** Drops the intent: the run has ended. For after `finish`, and after the VM's job has ended. */
  async end(): Promise<void> {
    this.#require('committed');
    await dropIntent(this.#host, this.folder, this.#intent.point);
    this.#state = 'ended';
  }

  /**
   * Undoes what was written, or, when the manifest turns out to be in place, finishes it. The intent stays until the
   * result's `settle`, as the checkpoint may be left to delete.
   */
  async rollBack(): Promise<Recovery> {
    const recovery = await settleIntent(this.#host, this.folder, this.#intent, this.#intent.checkpointFolder);
    if (recovery.action === 'rolled-back') this.#output.abandon();
    this.#state = 'ended';
    return recovery;
  }

  /** The checkpoint's XML waits in the folder for the commit, so that whoever finishes the run finds it. */
  async #stageCheckpoint(checkpoint: string, xml: string): Promise<void> {
    const name = stagedCheckpointName(checkpoint);
    await this.#announce([name]);
    if (!this.#output.inFolder) {
      await this.#host.files.writeAtomic(join(this.folder, name), xml, { mode: 0o600, replace: false });
      return;
    }
    this.#made.add(name);
    await this.#output.writeSmall(name, Buffer.from(xml));
  }

  /** Puts names into the intent that are not there yet. */
  async #announce(names: readonly string[]): Promise<void> {
    this.#require('open');
    const news = names.map(assertSafeName).filter((name) => !this.#intent.files.includes(name));
    if (news.length === 0) return;
    await this.#output.requireFree(news);
    const inFolder = news.filter((name) => this.#output.inFolder || parseFileName(name)?.kind === 'checkpoint-xml');
    await requireAbsent(this.#host, this.folder, withPartial(inFolder));
    if (inFolder.length > 0) await this.#amend(({ files }) => ({ files: [...new Set([...files, ...inFolder])] }));
  }

  /** Disks are written at the same time: each change waits for the one before, and builds upon it. */
  #amend(change: (intent: Intent) => Partial<Intent>): Promise<void> {
    const done = this.#amending.then(async () => {
      const intent = { ...this.#intent, ...change(this.#intent) };
      await writeIntent(this.#host, this.folder, intent, true);
      this.#intent = intent;
    });
    this.#amending = done.catch(() => undefined);
    return done;
  }

  #isComplete(name: string): boolean {
    const { checkpoint } = this.#intent;
    return this.#entries.has(name) || (checkpoint !== null && name === stagedCheckpointName(checkpoint));
  }

  #require(state: State): void {
    if (this.#state === state) return;
    const text = `The transaction of ${this.#intent.point} is ${this.#state}, and this step needs it ${state}.`;
    throw new BackupSetError('STATE', text, { point: this.#intent.point });
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
