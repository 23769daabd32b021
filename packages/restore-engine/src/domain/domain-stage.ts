import { dirname, join } from 'node:path';
import { assertSafeName, autostartName, type BackupSet, BackupSetError, type RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { EditableXml, type LibvirtConnection } from '@virtnbd/libvirt-ops';
import { RestoreError } from '../errors.ts';
import type { PlannedImage, RestorePlan } from '../plan.ts';
import { identOf, type PointFiles, readPointFile } from '../source/point-files.ts';
import type { TargetFolder } from '../target/target-folder.ts';
import { adjustDomain } from './adjust.ts';
import { bootFilePaths } from './adjust-boot.ts';
import { type RestoredDisk, tpmBackend } from './adjustment.ts';
import { type BootPlan, type PlannedBootFile, planBootFiles } from './boot-files.ts';
import { copyChecked } from './checked-copy.ts';
import { defineRestored, requireFreeName } from './define.ts';
import type { DefinedDomain, DomainRequest, RestoredDomain } from './request.ts';
import { placeTpmState, readTpmState, type TpmState } from './tpm-state.ts';

/** What the configuration's part of a restore stands on. */
export interface DomainQuestion {
  readonly request: DomainRequest;
  /** Where the backup folder is. */
  readonly host: Host;
  readonly set: BackupSet;
  readonly point: RestorePoint;
  readonly files: PointFiles;
  readonly plan: RestorePlan;
  /** Where the VM is restored to. */
  readonly targetHost: Host;
  /** Absolute. */
  readonly targetFolder: string;
  readonly libvirt: LibvirtConnection | null;
  /** Told of what is damaged, which is then left out; else it is refused. */
  readonly onDamage?: (message: string) => void;
}

const ADJUSTED_NAME = 'vmconfig.xml';
const NO_BOOT_FILES: BootPlan = { files: [], paths: new Map(), warnings: [] };

/** The VM's configuration, and what belongs to it, on its way from a point to where it is restored. */
export class DomainStage {
  readonly changes: readonly string[];
  readonly warnings: readonly string[];
  readonly #question: DomainQuestion;
  readonly #config: { readonly name: string; readonly xml: string };
  readonly #boot: readonly PlannedBootFile[];
  readonly #autostart: boolean;
  readonly #tpm: TpmState | null;
  readonly #placed: string[] = [];

  private constructor(question: DomainQuestion, decided: Decided) {
    this.#question = question;
    this.changes = decided.changes;
    this.warnings = decided.warnings;
    this.#config = decided.config;
    this.#boot = decided.boot;
    this.#autostart = decided.autostart;
    this.#tpm = decided.tpm;
  }

  /**
   * Decides everything before anything is created; null when the folder has no configuration and none is asked for.
   *
   * @throws RestoreError NO_CONFIG, BAD_DOMAIN, NAME_CLASH, DOMAIN_EXISTS; LibvirtError; BackupSetError
   */
  static async plan(question: DomainQuestion): Promise<DomainStage | null> {
    const { request, files, point } = question;
    const adjust = request.adjust === true || request.define === true;
    if (files.domainXml === null) {
      if (!adjust && request.restoreBootFiles !== true) return null;
      if (question.onDamage !== undefined) {
        question.onDamage(`the configuration of the VM at ${point.id}`);
        return null;
      }
      const text = `the backup holds no configuration of the VM at ${point.id}; restore without -c, -D and --restore-boot-files`;
      throw new RestoreError('NO_CONFIG', text);
    }
    const name = assertSafeName(request.configFile ?? (adjust ? ADJUSTED_NAME : files.domainXml.name));
    const boot = await bootPlan(question, name, adjust);
    const saved = { xml: files.domainXml.text, name: '', changes: [], warnings: [] };
    const adjusted = adjust
      ? adjustDomain(files.domainXml.text, { ...request, disks: restoredDisks(question), bootFiles: boot.paths })
      : saved;
    if (request.define === true) await requireFreeName(connection(question), adjusted.name);
    const tpm = adjust ? await tpmPlan(question, adjusted.xml) : NO_TPM;
    return new DomainStage(question, {
      config: { name, xml: adjusted.xml },
      boot: boot.files,
      changes: adjusted.changes,
      warnings: [...adjusted.warnings, ...boot.warnings, ...tpm.warnings],
      tpm: tpm.state,
      autostart: request.define === true && (await wasAutostarted(question)),
    });
  }

  /** Names of the files that it makes in the target folder beside the configuration. */
  get names(): string[] {
    return this.#boot.flatMap(({ to }) => (to.place === 'folder' ? [to.name] : []));
  }

  /** Writes the configuration and the files that the VM needs to start. */
  async write(folder: TargetFolder, signal: AbortSignal | undefined): Promise<void> {
    const { host, targetHost, set } = this.#question;
    await folder.writeText(this.#config.name, this.#config.xml);
    for (const { source, sha256, kind, to } of this.#boot) {
      const path = to.place === 'folder' ? folder.place(to.name) : to.path;
      if (to.place === 'original') await targetHost.files.makeFolder(dirname(path), { recursive: true, mode: 0o755 });
      await copyChecked(
        { host, path: join(set.folder, source), name: source, sha256 },
        { host: targetHost, path },
        signal,
      );
      if (to.place === 'original') this.#placed.push(path);
      // libvirt hands the others over to QEMU's user; the firmware's code is for every VM to read.
      if (kind === 'loader') await targetHost.files.chmod(path, 0o644);
    }
  }

  /** Takes away the files that were put outside the target folder. */
  async discard(): Promise<void> {
    for (const path of this.#placed) await this.#question.targetHost.files.remove(path);
  }

  /** Defines the VM, if that is asked for, when everything has its place. @throws RestoreError DEFINE_FAILED */
  async finish(): Promise<RestoredDomain> {
    const { request, targetFolder, targetHost } = this.#question;
    const configFile = join(targetFolder, this.#config.name);
    let defined: DefinedDomain | null = null;
    if (request.define === true) {
      const libvirt = connection(this.#question);
      const tpm = this.#tpm;
      defined = await defineRestored(libvirt, {
        xml: this.#config.xml,
        configFile,
        folder: targetFolder,
        autostart: this.#autostart,
        placeTpmState: tpm && ((uuid) => placeTpmState(targetHost, tpm, uuid, libvirt)),
      });
    }
    return { ...this.preview(), defined };
  }

  /** What a dry run tells. */
  preview(): RestoredDomain {
    const { targetFolder } = this.#question;
    const { changes, warnings } = this;
    const pathOf = ({ to }: PlannedBootFile): string => (to.place === 'folder' ? join(targetFolder, to.name) : to.path);
    const bootFiles = this.#boot.map((file) => ({ kind: file.kind, path: pathOf(file) }));
    return { configFile: join(targetFolder, this.#config.name), changes, warnings, bootFiles, defined: null };
  }
}

interface Decided {
  readonly config: { readonly name: string; readonly xml: string };
  readonly boot: readonly PlannedBootFile[];
  readonly changes: readonly string[];
  readonly warnings: readonly string[];
  readonly autostart: boolean;
  readonly tpm: TpmState | null;
}

interface TpmPlan {
  readonly state: TpmState | null;
  readonly warnings: readonly string[];
}

const NO_TPM: TpmPlan = { state: null, warnings: [] };

async function tpmPlan({ request, host, set, point, onDamage }: DomainQuestion, xml: string): Promise<TpmPlan> {
  if (tpmBackend(EditableXml.parse(xml, 'domain', "The VM's configuration").root) === undefined) return NO_TPM;
  let state: TpmState | null = null;
  try {
    state = await readTpmState(host, set, point);
  } catch (error) {
    if (onDamage === undefined || !(error instanceof BackupSetError || error instanceof RestoreError)) throw error;
    onDamage(error.message);
  }
  if (state === null) {
    const text =
      'the backup does not hold the state of the TPM: it begins anew, and what the guest sealed with it stays shut';
    return { state, warnings: [text] };
  }
  if (request.define === true) return { state, warnings: [] };
  const archive = join(set.folder, state.name);
  return {
    state,
    warnings: [`once the VM is defined, unpack the state of its TPM, ${archive}, to /var/lib/libvirt/swtpm/UUID`],
  };
}

/** Reads the configuration only where something is to be done with it: a plain copy works for whatever it is. */
async function bootPlan(question: DomainQuestion, configName: string, adjust: boolean): Promise<BootPlan> {
  const { request, files, point, plan } = question;
  const toOriginalPlaces = request.restoreBootFiles === true;
  if (files.domainXml === null || (!adjust && !toOriginalPlaces)) return NO_BOOT_FILES;
  const { root } = EditableXml.parse(files.domainXml.text, 'domain', "The VM's configuration");
  const taken = [configName, ...plan.images.flatMap(({ target }) => namesOf(target))];
  if (taken.lastIndexOf(configName) > 0)
    throw new RestoreError(
      'NAME_CLASH',
      `an image is called ${configName}, too; name the configuration: --config-file`,
    );
  return await planBootFiles({
    ...question,
    ident: identOf(point),
    paths: bootFilePaths(root),
    taken,
    adjust,
    toOriginalPlaces,
  });
}

function namesOf(target: PlannedImage['target']): string[] {
  if (target.kind !== 'file') return [];
  return target.dataFile === undefined ? [target.name] : [target.name, target.dataFile];
}

function restoredDisks({ plan, targetFolder }: DomainQuestion): Map<string, RestoredDisk> {
  return new Map(
    plan.images.map(({ disk, target }): [string, RestoredDisk] => {
      if (target.kind === 'device') return [disk, { kind: 'device', path: target.path, format: 'raw' }];
      if (target.kind === 'onto') return [disk, { kind: 'file', path: target.path, format: target.format }];
      const dataFile = target.dataFile === undefined ? {} : { dataFile: join(targetFolder, target.dataFile) };
      return [disk, { kind: 'file', path: join(targetFolder, target.name), format: target.format, ...dataFile }];
    }),
  );
}

function connection({ libvirt }: DomainQuestion): LibvirtConnection {
  if (libvirt !== null) return libvirt;
  throw new TypeError('a VM is defined over a connection to libvirt');
}

/** The file is only there for a VM that starts with its host. */
async function wasAutostarted({ host, set, point }: DomainQuestion): Promise<boolean> {
  return (await readPointFile(host, set, point, autostartName(identOf(point)))) !== null;
}
