/**
 * The C functions that this package calls, and their shapes in TypeScript. Handles are addresses: bigint, or null.
 * Each prototype is parsed on first use, so a function that an old libvirt lacks harms only the call that needs it.
 */

declare const kind: unique symbol;
/** The address of one of libvirt's objects. The brand keeps a domain from being passed as a connection. */
type Handle<K extends string> = bigint & { readonly [kind]: K };
export type ConnectHandle = Handle<'virConnectPtr'>;
export type DomainHandle = Handle<'virDomainPtr'>;
export type VolumeHandle = Handle<'virStorageVolPtr'>;
export type CheckpointHandle = Handle<'virDomainCheckpointPtr'>;
export type StreamHandle = Handle<'virStreamPtr'>;
export type StoragePoolHandle = Handle<'virStoragePoolPtr'>;
export type Address = bigint;
/** An out-parameter: libvirt fills the first element. */
export type Out<T> = [T];

export interface LibvirtFunctions {
  virInitialize(): number;
  virGetVersion(version: Out<number | bigint>, type: null, typeVersion: null): number;
  virGetLastError(): Address | null;
  virSetErrorFunc(userData: null, handler: Address): void;

  virConnectOpenAuth(uri: string, auth: Address, flags: number): ConnectHandle | null;
  virConnectClose(connection: ConnectHandle): number;
  virConnectIsAlive(connection: ConnectHandle): number;
  virConnectGetURI(connection: ConnectHandle): string | null;
  virConnectGetLibVersion(connection: ConnectHandle, version: Out<number | bigint>): number;
  virConnectGetVersion(connection: ConnectHandle, version: Out<number | bigint>): number;
  virConnectGetCapabilities(connection: ConnectHandle): string | null;
  virConnectGetDomainCapabilities(
    connection: ConnectHandle,
    emulator: string | null,
    arch: string | null,
    machine: string | null,
    type: string | null,
    flags: number,
  ): string | null;
  virConnectListAllDomains(connection: ConnectHandle, domains: Out<Address | null>, flags: number): number;

  virDomainLookupByName(connection: ConnectHandle, name: string): DomainHandle | null;
  virDomainLookupByUUIDString(connection: ConnectHandle, uuid: string): DomainHandle | null;
  virDomainFree(domain: DomainHandle): number;
  virDomainGetName(domain: DomainHandle): string | null;
  virDomainGetUUIDString(domain: DomainHandle, buffer: Buffer): number;
  virDomainGetID(domain: DomainHandle): number;
  virDomainIsActive(domain: DomainHandle): number;
  virDomainIsPersistent(domain: DomainHandle): number;
  virDomainGetState(domain: DomainHandle, state: Out<number>, reason: Out<number>, flags: number): number;
  virDomainGetXMLDesc(domain: DomainHandle, flags: number): string | null;
  virDomainCreateXML(connection: ConnectHandle, xml: string, flags: number): DomainHandle | null;
  virDomainDefineXMLFlags(connection: ConnectHandle, xml: string, flags: number): DomainHandle | null;
  virDomainGetBlockInfo(domain: DomainHandle, disk: string, info: Buffer, flags: number): number;
  virDomainSuspend(domain: DomainHandle): number;
  virDomainResume(domain: DomainHandle): number;
  virDomainCreateWithFlags(domain: DomainHandle, flags: number): number;
  virDomainShutdownFlags(domain: DomainHandle, flags: number): number;
  virDomainDestroyFlags(domain: DomainHandle, flags: number): number;
  virDomainSetAutostart(domain: DomainHandle, autostart: number): number;

  virStoragePoolLookupByTargetPath(connection: ConnectHandle, path: string): StoragePoolHandle | null;
  virStoragePoolLookupByName(connection: ConnectHandle, name: string): StoragePoolHandle | null;
  virStoragePoolFree(pool: StoragePoolHandle): number;
  virStoragePoolGetName(pool: StoragePoolHandle): string | null;
  virStoragePoolIsActive(pool: StoragePoolHandle): number;
  virStoragePoolRefresh(pool: StoragePoolHandle, flags: number): number;

  virDomainBlockPull(domain: DomainHandle, disk: string, bandwidth: number, flags: number): number;
  virDomainGetBlockJobInfo(domain: DomainHandle, disk: string, info: Buffer, flags: number): number;
  virDomainBlockJobAbort(domain: DomainHandle, disk: string, flags: number): number;

  virDomainScreenshot(domain: DomainHandle, stream: StreamHandle, screen: number, flags: number): string | null;
  virStreamNew(connection: ConnectHandle, flags: number): StreamHandle | null;
  virStreamRecv(stream: StreamHandle, data: Buffer, bytes: number): number;
  virStreamFinish(stream: StreamHandle): number;
  virStreamAbort(stream: StreamHandle): number;
  virStreamFree(stream: StreamHandle): number;

  virDomainBackupBegin(domain: DomainHandle, backupXml: string, checkpointXml: string | null, flags: number): number;
  virDomainBackupGetXMLDesc(domain: DomainHandle, flags: number): string | null;
  virDomainAbortJob(domain: DomainHandle): number;
  virDomainGetJobStats(
    domain: DomainHandle,
    type: Out<number>,
    params: Out<Address | null>,
    count: Out<number>,
    flags: number,
  ): number;
  virTypedParamsFree(params: Address, count: number): void;

  virDomainListAllCheckpoints(domain: DomainHandle, checkpoints: Out<Address | null>, flags: number): number;
  virDomainCheckpointLookupByName(domain: DomainHandle, name: string, flags: number): CheckpointHandle | null;
  virDomainCheckpointFree(checkpoint: CheckpointHandle): number;
  virDomainCheckpointGetXMLDesc(checkpoint: CheckpointHandle, flags: number): string | null;
  virDomainCheckpointCreateXML(domain: DomainHandle, xml: string, flags: number): CheckpointHandle | null;
  virDomainCheckpointDelete(checkpoint: CheckpointHandle, flags: number): number;

  virStorageVolLookupByName(pool: StoragePoolHandle, name: string): VolumeHandle | null;
  virStorageVolLookupByPath(connection: ConnectHandle, path: string): VolumeHandle | null;
  virStorageVolFree(volume: VolumeHandle): number;
  virStorageVolGetXMLDesc(volume: VolumeHandle, flags: number): string | null;
  virStorageVolDownload(
    volume: VolumeHandle,
    stream: StreamHandle,
    offset: number,
    length: number,
    flags: number,
  ): number;

  virDomainFSFreeze(domain: DomainHandle, mountpoints: string[] | null, count: number, flags: number): number;
  virDomainFSThaw(domain: DomainHandle, mountpoints: null, count: number, flags: number): number;
  virDomainAgentSetResponseTimeout(domain: DomainHandle, seconds: number, flags: number): number;
  virDomainGetTime(
    domain: DomainHandle,
    seconds: Out<number | bigint>,
    nanoseconds: Out<number>,
    flags: number,
  ): number;
  virDomainGetGuestInfo(
    domain: DomainHandle,
    types: number,
    params: Out<Address | null>,
    count: Out<number>,
    flags: number,
  ): number;
  virDomainQemuAgentCommand(domain: DomainHandle, command: string, seconds: number, flags: number): string | null;

  virDomainGetAutostart(domain: DomainHandle, autostart: Out<number>): number;
}

/** Functions that libvirt keeps in a library of their own, libvirt-qemu.so.0. */
export const QEMU_FUNCTIONS: ReadonlySet<string> = new Set<keyof LibvirtFunctions>(['virDomainQemuAgentCommand']);

/** `str!`: a string that libvirt allocated and the caller frees; koffi copies it, then calls free(). */
export const PROTOTYPES: Readonly<Record<keyof LibvirtFunctions, string>> = {
  virInitialize: 'int virInitialize(void)',
  virGetVersion: 'int virGetVersion(_Out_ unsigned long *version, const char *type, void *typeVersion)',
  virGetLastError: 'void *virGetLastError(void)',
  virSetErrorFunc: 'void virSetErrorFunc(void *userData, void *handler)',

  virConnectOpenAuth: 'void *virConnectOpenAuth(const char *uri, void *auth, unsigned int flags)',
  virConnectClose: 'int virConnectClose(void *connection)',
  virConnectIsAlive: 'int virConnectIsAlive(void *connection)',
  virConnectGetURI: 'str! virConnectGetURI(void *connection)',
  virConnectGetLibVersion: 'int virConnectGetLibVersion(void *connection, _Out_ unsigned long *version)',
  virConnectGetVersion: 'int virConnectGetVersion(void *connection, _Out_ unsigned long *version)',
  virConnectGetCapabilities: 'str! virConnectGetCapabilities(void *connection)',
  virConnectGetDomainCapabilities:
    'str! virConnectGetDomainCapabilities(void *connection, const char *emulator, const char *arch, const char *machine, const char *type, unsigned int flags)',
  virConnectListAllDomains: 'int virConnectListAllDomains(void *connection, _Out_ void **domains, unsigned int flags)',

  virDomainLookupByName: 'void *virDomainLookupByName(void *connection, const char *name)',
  virDomainLookupByUUIDString: 'void *virDomainLookupByUUIDString(void *connection, const char *uuid)',
  virDomainFree: 'int virDomainFree(void *domain)',
  virDomainGetName: 'const char *virDomainGetName(void *domain)',
  virDomainGetUUIDString: 'int virDomainGetUUIDString(void *domain, void *buffer)',
  virDomainGetID: 'unsigned int virDomainGetID(void *domain)',
  virDomainIsActive: 'int virDomainIsActive(void *domain)',
  virDomainIsPersistent: 'int virDomainIsPersistent(void *domain)',
  virDomainGetState: 'int virDomainGetState(void *domain, _Out_ int *state, _Out_ int *reason, unsigned int flags)',
  virDomainGetXMLDesc: 'str! virDomainGetXMLDesc(void *domain, unsigned int flags)',
  virDomainCreateXML: 'void *virDomainCreateXML(void *connection, const char *xml, unsigned int flags)',
  virDomainDefineXMLFlags: 'void *virDomainDefineXMLFlags(void *connection, const char *xml, unsigned int flags)',
  virDomainGetBlockInfo: 'int virDomainGetBlockInfo(void *domain, const char *disk, void *info, unsigned int flags)',
  virDomainSuspend: 'int virDomainSuspend(void *domain)',
  virDomainResume: 'int virDomainResume(void *domain)',
  virDomainCreateWithFlags: 'int virDomainCreateWithFlags(void *domain, unsigned int flags)',
  virDomainShutdownFlags: 'int virDomainShutdownFlags(void *domain, unsigned int flags)',
  virDomainDestroyFlags: 'int virDomainDestroyFlags(void *domain, unsigned int flags)',
  virDomainSetAutostart: 'int virDomainSetAutostart(void *domain, int autostart)',

  virStoragePoolLookupByTargetPath: 'void *virStoragePoolLookupByTargetPath(void *connection, const char *path)',
  virStoragePoolLookupByName: 'void *virStoragePoolLookupByName(void *connection, const char *name)',
  virStoragePoolFree: 'int virStoragePoolFree(void *pool)',
  virStoragePoolGetName: 'const char *virStoragePoolGetName(void *pool)',
  virStoragePoolIsActive: 'int virStoragePoolIsActive(void *pool)',
  virStoragePoolRefresh: 'int virStoragePoolRefresh(void *pool, unsigned int flags)',

  virDomainBlockPull:
    'int virDomainBlockPull(void *domain, const char *disk, unsigned long bandwidth, unsigned int flags)',
  virDomainGetBlockJobInfo:
    'int virDomainGetBlockJobInfo(void *domain, const char *disk, void *info, unsigned int flags)',
  virDomainBlockJobAbort: 'int virDomainBlockJobAbort(void *domain, const char *disk, unsigned int flags)',

  virDomainScreenshot: 'str! virDomainScreenshot(void *domain, void *stream, unsigned int screen, unsigned int flags)',
  virStreamNew: 'void *virStreamNew(void *connection, unsigned int flags)',
  virStreamRecv: 'int virStreamRecv(void *stream, void *data, size_t bytes)',
  virStreamFinish: 'int virStreamFinish(void *stream)',
  virStreamAbort: 'int virStreamAbort(void *stream)',
  virStreamFree: 'int virStreamFree(void *stream)',

  virDomainBackupBegin:
    'int virDomainBackupBegin(void *domain, const char *backupXml, const char *checkpointXml, unsigned int flags)',
  virDomainBackupGetXMLDesc: 'str! virDomainBackupGetXMLDesc(void *domain, unsigned int flags)',
  virDomainAbortJob: 'int virDomainAbortJob(void *domain)',
  virDomainGetJobStats:
    'int virDomainGetJobStats(void *domain, _Out_ int *type, _Out_ void **params, _Out_ int *count, unsigned int flags)',
  virTypedParamsFree: 'void virTypedParamsFree(void *params, int count)',

  virDomainListAllCheckpoints:
    'int virDomainListAllCheckpoints(void *domain, _Out_ void **checkpoints, unsigned int flags)',
  virDomainCheckpointLookupByName:
    'void *virDomainCheckpointLookupByName(void *domain, const char *name, unsigned int flags)',
  virDomainCheckpointFree: 'int virDomainCheckpointFree(void *checkpoint)',
  virDomainCheckpointGetXMLDesc: 'str! virDomainCheckpointGetXMLDesc(void *checkpoint, unsigned int flags)',
  virDomainCheckpointCreateXML: 'void *virDomainCheckpointCreateXML(void *domain, const char *xml, unsigned int flags)',
  virDomainCheckpointDelete: 'int virDomainCheckpointDelete(void *checkpoint, unsigned int flags)',

  virStorageVolLookupByName: 'void *virStorageVolLookupByName(void *pool, const char *name)',
  virStorageVolLookupByPath: 'void *virStorageVolLookupByPath(void *connection, const char *path)',
  virStorageVolFree: 'int virStorageVolFree(void *volume)',
  virStorageVolGetXMLDesc: 'str! virStorageVolGetXMLDesc(void *volume, unsigned int flags)',
  virStorageVolDownload:
    'int virStorageVolDownload(void *volume, void *stream, unsigned long long offset, unsigned long long length, unsigned int flags)',

  virDomainFSFreeze:
    'int virDomainFSFreeze(void *domain, const char **mountpoints, unsigned int count, unsigned int flags)',
  virDomainFSThaw:
    'int virDomainFSThaw(void *domain, const char **mountpoints, unsigned int count, unsigned int flags)',
  virDomainAgentSetResponseTimeout:
    'int virDomainAgentSetResponseTimeout(void *domain, int seconds, unsigned int flags)',
  virDomainGetTime:
    'int virDomainGetTime(void *domain, _Out_ int64_t *seconds, _Out_ unsigned int *nanoseconds, unsigned int flags)',
  virDomainGetGuestInfo:
    'int virDomainGetGuestInfo(void *domain, unsigned int types, _Out_ void **params, _Out_ int *count, unsigned int flags)',
  virDomainQemuAgentCommand:
    'str! virDomainQemuAgentCommand(void *domain, const char *command, int seconds, unsigned int flags)',

  virDomainGetAutostart: 'int virDomainGetAutostart(void *domain, _Out_ int *autostart)',
};
