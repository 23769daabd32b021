export type DiskBus = 'virtio' | 'scsi' | 'sata';

/**
 * A disk that libvirt knows as a block device (its path is the image's), as a volume of a storage pool, or by the socket of
 * an NBD server that serves the image as it is.
 */
export type DiskSource =
  | 'block'
  | { readonly pool: string; readonly volume: string }
  | { readonly nbdSocket: string; readonly exportName: string };

export interface DiskXml {
  readonly target: string;
  readonly format: string;
  readonly path: string;
  readonly bus: DiskBus;
  /** A file when absent. */
  readonly source?: DiskSource | undefined;
  /** More attributes of `<driver>`, as XML text: `cache='none'`. */
  readonly driver?: string | undefined;
  /** More elements inside `<disk>`. */
  readonly xml?: string | undefined;
}

export type Firmware = 'bios' | { readonly loader: string; readonly nvramTemplate?: string };

export interface DomainXml {
  readonly name: string;
  readonly memoryMiB: number;
  readonly disks: readonly DiskXml[];
  readonly emulator: string;
  readonly firmware: Firmware;
  readonly boot?: { readonly kernel: string; readonly initrd: string; readonly arguments: string } | undefined;
  /** Channel for the guest agent; with a path when libvirt's own would be too long for a socket. */
  readonly agent?: { readonly path: string | null; readonly console: string } | undefined;
  /** More elements inside `<devices>`. */
  readonly devices: string;
  /** More elements inside `<domain>`. */
  readonly extra: string;
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;');
}

export function diskXml(disk: DiskXml): string {
  const { source } = disk;
  const type =
    source === undefined ? 'file' : source === 'block' ? source : 'nbdSocket' in source ? 'network' : 'volume';
  return `<disk type='${type}' device='disk'>
<driver name='qemu' type='${disk.format}' discard='unmap' ${disk.driver ?? ''}/>
${sourceXml(disk)}<target dev='${escapeXml(disk.target)}' bus='${disk.bus}'/>${disk.xml ?? ''}</disk>`;
}

function sourceXml({ path, source }: DiskXml): string {
  if (source === undefined) return `<source file='${escapeXml(path)}'/>`;
  if (source === 'block') return `<source dev='${escapeXml(path)}'/>`;
  if ('nbdSocket' in source)
    return `<source protocol='nbd' name='${escapeXml(source.exportName)}'><host transport='unix' socket='${escapeXml(source.nbdSocket)}'/></source>`;
  return `<source pool='${escapeXml(source.pool)}' volume='${escapeXml(source.volume)}'/>`;
}

/** A cheap machine without KVM (`type='qemu'`: TCG). */
export function domainXml(domain: DomainXml): string {
  return `<domain type='qemu'>
<name>${escapeXml(domain.name)}</name>
<memory unit='MiB'>${domain.memoryMiB}</memory>
<vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type>${firmwareXml(domain.firmware)}${bootXml(domain)}</os>
<features><acpi/></features>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices>
<emulator>${escapeXml(domain.emulator)}</emulator>
<controller type='usb' model='none'/>
<controller type='scsi' model='virtio-scsi'/>
<memballoon model='none'/>
${domain.disks.map(diskXml).join('\n')}
${agentXml(domain)}
${domain.devices}
</devices>
${domain.extra}
</domain>`;
}

function firmwareXml(firmware: Firmware): string {
  if (firmware === 'bios') return '';
  const nvram = firmware.nvramTemplate === undefined ? '' : `<nvram template='${escapeXml(firmware.nvramTemplate)}'/>`;
  return `<loader readonly='yes' type='pflash'>${escapeXml(firmware.loader)}</loader>${nvram}`;
}

function bootXml({ boot }: DomainXml): string {
  if (boot === undefined) return '';
  return `<kernel>${escapeXml(boot.kernel)}</kernel><initrd>${escapeXml(boot.initrd)}</initrd><cmdline>${escapeXml(boot.arguments)}</cmdline>`;
}

function agentXml({ agent }: DomainXml): string {
  if (agent === undefined) return '';
  const source = agent.path === null ? '' : `<source mode='bind' path='${escapeXml(agent.path)}'/>`;
  return `<channel type='unix'>${source}<target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<serial type='file'><source path='${escapeXml(agent.console)}'/><target port='0'/></serial>`;
}
