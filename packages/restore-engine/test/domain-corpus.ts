/** Configurations of many kinds, as a person or a tool may define them; libvirt 9.0 takes each. */

interface Parts {
  readonly attributes?: string;
  readonly machine?: 'pc' | 'q35';
  readonly os?: string;
  readonly before?: string;
  readonly devices: string;
  readonly after?: string;
}

function domain(name: string, { attributes = '', machine = 'q35', os = '', before = '', devices, after = '' }: Parts) {
  return `<domain type='qemu'${attributes}>
  <name>${name}</name>
  <uuid>8dd0e290-23b2-4814-b398-0657525ab75f</uuid>
  ${before}
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <features><acpi/></features>
  <os><type arch='x86_64' machine='${machine}'>hvm</type>${os}</os>
  <devices>
    ${devices}
  </devices>
  ${after}
</domain>
`;
}

const QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0';

function file(target: string, more = '', bus = 'virtio'): string {
  return `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='/images/${target}.qcow2'/><target dev='${target}' bus='${bus}'/>${more}</disk>`;
}

const BACKING = `<backingStore type='file'><format type='qcow2'/><source file='/images/base.qcow2'/>
  <backingStore type='file'><format type='raw'/><source file='/images/root.raw'/><backingStore/></backingStore></backingStore>`;
const LUKS = `<encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption>`;

/** Each with the disks that a backup of it holds. */
export const CORPUS: Readonly<Record<string, { readonly xml: string; readonly disks: readonly string[] }>> = {
  'a plain q35 machine': { xml: domain('plain', { devices: file('vda') }), disks: ['vda'] },
  'an i440fx machine with drives of every kind': {
    xml: domain('old', {
      machine: 'pc',
      devices: `${file('vda')}${file('hda', '', 'ide')}
        <disk type='file' device='cdrom'><source file='/iso/install.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>
        <disk type='file' device='cdrom'><target dev='hdd' bus='ide'/><readonly/></disk>
        <disk type='file' device='floppy'><source file='/f.img'/><target dev='fda' bus='fdc'/></disk>`,
    }),
    disks: ['vda', 'hda'],
  },
  'UEFI with variables of its own': {
    xml: domain('uefi', {
      os: `<loader readonly='yes' type='pflash'>/fw/OVMF_CODE.fd</loader>
        <nvram template='/fw/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/uefi_VARS.fd</nvram>`,
      devices: file('vda'),
    }),
    disks: ['vda'],
  },
  'UEFI with variables in a source': {
    xml: domain('uefi-source', {
      os: `<loader readonly='yes' type='pflash'>/fw/OVMF_CODE.fd</loader>
        <nvram type='block'><source dev='/dev/vg/vars'/></nvram>`,
      devices: file('vda'),
    }),
    disks: ['vda'],
  },
  'direct kernel boot': {
    xml: domain('kernel', {
      os: '<kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd.img</initrd><cmdline>a=1 &amp; b="2"</cmdline>',
      devices: file('vda'),
    }),
    disks: ['vda'],
  },
  'an emulated TPM': {
    xml: domain('tpm', {
      devices: `${file('vda')}<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`,
    }),
    disks: ['vda'],
  },
  'volumes of a pool': {
    xml: domain('volumes', {
      devices: `<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' volume='a b.qcow2'/><target dev='vda'/></disk>
        <disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='iscsi' volume='unit:0:0:1' mode='host' startupPolicy='optional'/><target dev='vdb'/></disk>`,
    }),
    disks: ['vda', 'vdb'],
  },
  'disks on a network': {
    xml: domain('network', {
      devices: `<disk type='network' device='disk'><driver name='qemu' type='raw'/>
          <auth username='admin'><secret type='ceph' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></auth>
          <source protocol='rbd' name='pool/image'><host name='mon1' port='6789'/><host name='mon2'/><snapshot name='s'/></source><target dev='vda'/></disk>
        <disk type='network' device='disk'><driver name='qemu' type='qcow2'/><source protocol='nbd' name='x' tls='yes'><host name='srv' port='10809'/></source><target dev='vdb'/></disk>`,
    }),
    disks: ['vda', 'vdb'],
  },
  'block devices, a LUN and an NVMe device': {
    xml: domain('blocks', {
      devices: `<controller type='scsi' model='virtio-scsi'/>
        <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/><source dev='/dev/vg/lv'/><target dev='vda'/></disk>
        <disk type='block' device='lun' rawio='yes'><driver name='qemu' type='raw'/><source dev='/dev/sdx'><reservations managed='yes'/></source><target dev='sda' bus='scsi'/></disk>
        <disk type='nvme' device='disk'><driver name='qemu' type='raw'/><source type='pci' managed='yes' namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source><target dev='vdb'/></disk>`,
    }),
    disks: ['vda', 'sda', 'vdb'],
  },
  'encrypted disks': {
    xml: domain('luks', {
      devices: `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/a.qcow2'>${LUKS}</source><target dev='vda'/></disk>
        <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/images/b.luks'/>${LUKS}<target dev='vdb'/></disk>`,
    }),
    disks: ['vda', 'vdb'],
  },
  'layers under its disks': {
    xml: domain('layers', { devices: `${file('vda', BACKING)}${file('vdb', '<backingStore/>')}` }),
    disks: ['vda', 'vdb'],
  },
  'a part of a raw file, shared': {
    xml: domain('slice', {
      devices: `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/images/all.raw'><slices><slice type='storage' offset='1048576' size='1048576'/></slices></source><target dev='vda'/></disk>
        <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='/images/shared.raw'/><target dev='vdb'/><shareable/></disk>`,
    }),
    disks: ['vda', 'vdb'],
  },
  'disks with much about them': {
    xml: domain('tuned', {
      before: '<iothreads>2</iothreads>',
      devices: `<disk type='file' device='disk' snapshot='external'>
          <driver name='qemu' type='qcow2' cache='writeback' iothread='1' queues='4' detect_zeroes='unmap'><metadata_cache><max_size unit='bytes'>1048576</max_size></metadata_cache></driver>
          <source file='/images/t.qcow2' startupPolicy='optional'><seclabel model='dac' relabel='no'/></source>
          <target dev='vda' bus='virtio'/><iotune><total_bytes_sec>1000000</total_bytes_sec></iotune>
          <blockio logical_block_size='4096' physical_block_size='4096'/><serial>WD 1.2</serial><boot order='1'/></disk>`,
    }),
    disks: ['vda'],
  },
  'devices of the host, and shared folders': {
    xml: domain('hostdev', {
      before: "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
      devices: `${file('vda')}
        <hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>
        <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x02' function='0x0'/></source></hostdev>
        <filesystem type='mount' accessmode='mapped'><source dir='/srv'/><target dir='srv'/></filesystem>`,
    }),
    disks: ['vda'],
  },
  'networks, channels and consoles': {
    xml: domain('devices', {
      devices: `${file('vda')}
        <interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
        <interface type='network'><mac address='52:54:00:11:22:34'/><source network='default'/></interface>
        <channel type='unix'><source mode='bind' path='/somewhere/qemu/channel/target/domain-7-devices/org.qemu.guest_agent.0'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <channel type='unix'><source mode='bind' path='/my/own.sock'/><target type='virtio' name='my.own.0'/></channel>
        <serial type='pty'><target port='0'/></serial><graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/><video><model type='vga'/></video>`,
    }),
    disks: ['vda'],
  },
  'an identity in several places': {
    xml: domain('ids', {
      before: `<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid><title>The title</title><description>a &lt;b&gt; "c"</description>`,
      os: "<smbios mode='sysinfo'/>",
      devices: file('vda'),
      after: `<sysinfo type='smbios'><bios><entry name='vendor'>ACME</entry></bios>
        <system><entry name='manufacturer'>ACME</entry><entry name='uuid'>8dd0e290-23b2-4814-b398-0657525ab75f</entry></system></sysinfo>`,
    }),
    disks: ['vda'],
  },
  'comments, metadata and command lines of QEMU': {
    xml: `<!-- made
  by hand -->
${domain('foreign', {
  attributes: ` xmlns:qemu='${QEMU}'`,
  before: `<metadata><app:note xmlns:app="urn:app" app:disk='vda'><disk type='file'><source file='/images/vda.qcow2'/></disk></app:note></metadata>`,
  devices: `<!-- the disks --> ${file('vda')} <!-- and no more -->`,
  after: `<qemu:commandline><qemu:arg value='-name'/><qemu:arg value='a=&quot;b&quot;,c'/><qemu:env name='X' value='1'/></qemu:commandline>`,
})}`,
    disks: ['vda'],
  },
  'labels of the host it ran on': {
    xml: domain('labels', {
      devices: file('vda'),
      after: `<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-8dd0e290-23b2-4814-b398-0657525ab75f</label><imagelabel>libvirt-8dd0e290-23b2-4814-b398-0657525ab75f</imagelabel></seclabel>
        <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+64055</label><imagelabel>+64055:+64055</imagelabel></seclabel>`,
    }),
    disks: ['vda'],
  },
};
