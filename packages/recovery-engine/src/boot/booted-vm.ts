import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestorePoint } from '@virtnbd/backup-set';
import { type DomainDescription, parseDomain } from '@virtnbd/libvirt-ops';
import { RecoveryError } from '../errors.ts';
import { folderExports } from '../serve/folder-exports.ts';
import { RecoveryServer } from '../serve/server.ts';
import { Watchdog } from '../watchdog.ts';
import { isSystemFile, planBootFiles } from './boot-files.ts';
import { CleanUp } from './clean-up.ts';
import { consoleCommands } from './consoles.ts';
import { Hypervisor } from './hypervisor.ts';
import { makeOverlay, planOverlays } from './overlays.ts';
import { PointFiles } from './point-files.ts';
import { giveTo, type QemuUser, qemuUserOf } from './qemu-user.ts';
import type { BootContext, BootRequest } from './request.ts';
import { transientXml } from './transient-xml.ts';

/** Milliseconds between two looks at the VM. */
const POLL = 500;

/** A VM that runs straight from a restore point. Nothing of it is left once it is closed, unless it was kept. */
export class BootedVm implements AsyncDisposable {
  readonly point: RestorePoint;
  readonly name: string;
  readonly uuid: string = randomUUID();
  /** Of the saved VM. */
  readonly description: DomainDescription;
  readonly hypervisor: Hypervisor;
  readonly #request: BootRequest;
  readonly #context: BootContext;
  readonly #files: PointFiles;
  readonly #cleanUp = new CleanUp();
  #images: string[] = [];
  #kept = false;

  private constructor(request: BootRequest, context: BootContext, saved: Saved, hypervisor: Hypervisor) {
    this.#request = request;
    this.#context = context;
    this.#files = saved.files;
    this.point = saved.point;
    this.description = saved.description;
    this.name = request.name ?? `boot_${saved.description.name}`;
    this.hypervisor = hypervisor;
  }

  /**
   * Starts the VM. When it rejects, nothing is left.
   *
   * @throws RecoveryError `NO_CONFIGURATION`, `DAMAGED`, `UNREACHABLE`, `USAGE`; BackupSetError; LibvirtError; HostError
   */
  static async start(request: BootRequest, context: BootContext): Promise<BootedVm> {
    const point = request.set.point(request.point);
    const files = new PointFiles(context.host, request.set, point);
    const xml = await files.domainXml();
    const saved: Saved = { point, files, xml, description: await parseDomain(xml) };
    const hypervisor = new Hypervisor(context.connect);
    const vm = new BootedVm(request, context, saved, hypervisor);
    try {
      await vm.#start(xml);
      return vm;
    } catch (error) {
      await vm.close().catch(() => undefined);
      throw error;
    }
  }

  /** The targets of its disks. */
  get disks(): readonly string[] {
    return this.point.disks.map(({ disk }) => disk);
  }

  /** Resolves when the VM has ended by itself. @throws the signal's reason */
  async ended(signal?: AbortSignal): Promise<void> {
    while (((await this.hypervisor.lookup(this.uuid))?.active ?? false) === true) {
      await sleep(POLL, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
    }
  }

  /**
   * Moves the VM off the backup while it runs, and defines it: it then needs neither the backup nor this process. The VM has to
   * be started with a `keepFolder`.
   *
   * @throws LibvirtError `PULL_FAILED`, after a damage event where a backup file is damaged
   */
  async keep(): Promise<void> {
    const { signal, onEvent } = this.#context;
    if (this.#request.keepFolder === undefined) {
      throw new RecoveryError('USAGE', 'A VM that is to be kept needs a folder for its images from the start.');
    }
    const libvirt = await this.hypervisor.connection();
    for (const disk of this.disks) {
      const onProgress = (info: { current: number; end: number }) => onEvent?.({ type: 'pull', disk, ...info });
      await libvirt.blockJobs.pull(this.uuid, disk, { ...(signal !== undefined && { signal }), onProgress });
    }
    signal?.throwIfAborted();
    // libvirt's own description of what runs has the addresses that it gave, and no backing image any more.
    const xml = await libvirt.domainXml(this.uuid, { inactive: true, secure: true });
    await libvirt.defineDomain(xml);
    this.#kept = true;
    onEvent?.({ type: 'kept', name: this.name, images: this.#images });
  }

  /** Ends the VM, unless it was kept; ends the server; removes what was made for it. */
  async close(): Promise<void> {
    await this.#cleanUp.run();
    await this.hypervisor[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(savedXml: string): Promise<void> {
    const { host, signal } = this.#context;
    const { scratchFolder, keepFolder } = this.#request;
    const user = await this.#qemuUser();
    const folder = join(scratchFolder, `virtnbd-boot-${randomBytes(6).toString('hex')}`);
    this.#cleanUp.add(() => host.files.removeFolder(folder, { recursive: true }));
    const socket = join(folder, 'nbd.sock');
    const home = keepFolder ?? folder;
    const overlays = planOverlays(this.point, { folder: home, socket });
    const bootFiles = await planBootFiles(host, this.#files, this.description, home);
    await this.#requireFree([...overlays.values()].map(({ image }) => image).concat(...bootFiles.places.values()));
    await this.#watch(folder); // before anything is made
    await host.files.makeFolder(folder);
    if (keepFolder !== undefined) await host.files.makeFolder(keepFolder, { mode: 0o711, recursive: true });
    await giveTo(host, user, folder);
    await this.#serve(socket, user);
    signal?.throwIfAborted();
    for (const [disk, overlay] of overlays) await makeOverlay(host, overlay, this.#sizeOf(disk));
    for (const [path, content] of bootFiles.contents) await host.files.writeAtomic(path, content);
    await giveTo(host, user, ...[...overlays.values()].map(({ image }) => image), ...bootFiles.contents.keys());
    const { emulator } = this.description;
    const { xml, changes } = transientXml(savedXml, {
      name: this.name,
      uuid: this.uuid,
      generationId: randomUUID(),
      disks: overlays,
      bootFiles: bootFiles.places,
      network: this.#request.network ?? { kind: 'none' },
      throwAway: keepFolder === undefined,
      keepEmulator: emulator !== null && (await isSystemFile(host, emulator)),
    });
    this.#context.onEvent?.({ type: 'changes', changes });
    await this.#run(xml);
  }

  async #qemuUser(): Promise<QemuUser | null> {
    const { qemuUser } = this.#request;
    if (qemuUser !== undefined) return qemuUser;
    const capabilities = await this.hypervisor.ask((libvirt) => libvirt.capabilities());
    return await qemuUserOf(capabilities, this.description.type);
  }

  /** What is made in a folder of the user's must not take the place of anything. */
  async #requireFree(paths: readonly string[]): Promise<void> {
    const { host } = this.#context;
    for (const path of paths) {
      if ((await host.files.stat(path)) === null) continue;
      throw new RecoveryError('USAGE', `${path} is there already, and is not overwritten. Choose an empty folder.`);
    }
    this.#images = [...paths];
    const removeImages = async () => {
      if (!this.#kept) for (const path of paths) await host.files.remove(path);
    };
    this.#cleanUp.add(removeImages);
  }

  async #watch(folder: string): Promise<void> {
    const { uri } = this.#context;
    const watchdog = await Watchdog.start('boot', { uri, uuid: this.uuid, folder, images: this.#images });
    // The very last: until then it can do what is left to do.
    this.#cleanUp.addLast(() => watchdog.release());
  }

  async #serve(socket: string, user: QemuUser | null): Promise<void> {
    const { host, onEvent } = this.#context;
    const { chosen } = await folderExports(this.#request.set, this.point.id);
    // The folder is closed to all but qemu's user and root; who gets there may use the socket.
    const address = { path: socket, mode: user === null ? 0o600 : 0o666 };
    const server = await RecoveryServer.start({ exports: chosen, address }, { host, onEvent });
    this.#cleanUp.add(() => server.close());
  }

  #sizeOf(disk: string): number {
    return this.point.disks.find((known) => known.disk === disk)?.virtualSize ?? 0;
  }

  async #run(xml: string): Promise<void> {
    const { signal, uri, onEvent } = this.#context;
    signal?.throwIfAborted();
    const endVm = async () => {
      if (!this.#kept) await this.hypervisor.destroy(this.uuid);
    };
    this.#cleanUp.add(endVm);
    const libvirt = await this.hypervisor.connection();
    await libvirt.createDomain(xml);
    const live = await libvirt.domainXml(this.uuid);
    const consoles = consoleCommands(live, uri, this.name);
    onEvent?.({ type: 'running', name: this.name, uuid: this.uuid, consoles });
  }
}

/** What the restore point says of the VM. */
interface Saved {
  readonly point: RestorePoint;
  readonly files: PointFiles;
  readonly xml: string;
  readonly description: DomainDescription;
}
