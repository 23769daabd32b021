import { expect, test } from 'vitest';
import { transientXml } from '../src/boot/transient-xml.ts';

const SAVED = `<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>vm1</name>
  <uuid>11111111-2222-3333-4444-555555555555</uuid>
  <genid>99999999-2222-3333-4444-555555555555</genid>
  <!-- a comment that stays -->
  <os><type arch='x86_64'>hvm</type><loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader><nvram>/var/lib/nvram/vm1.fd</nvram></os>
  <sysinfo type='smbios'><system><entry name='uuid'>11111111-2222-3333-4444-555555555555</entry></system></sysinfo>
  <devices>
    <emulator>/tmp/evil</emulator>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source dev='/dev/vg/vm1'/><backingStore/><target dev='vda' bus='virtio'/><serial>abc</serial><alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='disk'><source file='/images/excluded.qcow2'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/iso/x.iso'/><target dev='sda'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/><target dev='vnet3'/></interface>
    <hostdev mode='subsystem' type='pci'/>
    <filesystem type='mount'><source dir='/'/><target dir='all'/></filesystem>
    <serial type='file'><source path='/var/log/vm1.log'/><target port='0'/></serial>
    <channel type='unix'><source mode='bind' path='/run/vm1.agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' port='5901' autoport='no' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>
  </devices>
  <seclabel type='dynamic' model='dac'><label>+107:+107</label></seclabel>
  <qemu:commandline><qemu:arg value='-evil'/></qemu:commandline>
</domain>`;

const OPTIONS = {
  name: 'boot_vm1',
  uuid: 'aaaaaaaa-2222-3333-4444-555555555555',
  generationId: 'bbbbbbbb-2222-3333-4444-555555555555',
  disks: new Map([
    ['vda', { image: '/scratch/vda.qcow2', server: { socket: '/scratch/nbd.sock', exportName: 'vda' } }],
  ]),
  bootFiles: new Map([['nvram', '/scratch/nvram.vm1.fd']] as const),
  network: { kind: 'none' },
  throwAway: true,
  keepEmulator: false,
} as const;

test('nothing of the saved VM, its host and its network is left in the XML', () => {
  const { xml, changes } = transientXml(SAVED, OPTIONS);
  for (const gone of [
    ...['11111111-', '99999999-', '/tmp/evil', '/dev/vg/vm1', '/images/', '/iso/', '52:54:00', 'vnet3', 'hostdev'],
    ...['<filesystem', '/var/log', '/run/vm1', '5901', '0.0.0.0', '+107', '-evil', '/var/lib/nvram', "id='7'", 'alias'],
  ]) {
    expect(xml).not.toContain(gone);
  }
  expect(changes).toEqual([
    'without the options of its own for qemu (<qemu:commandline>)',
    'without the disk vdb, which this restore point does not hold',
    'sda, a cdrom, is empty',
    'without network',
    'without a device of the host (<hostdev>)',
    'without a folder of the host (<filesystem>)',
    '<serial> is a console rather than a file',
  ]);
});

test('what makes the machine stays as it was saved', () => {
  const { xml } = transientXml(SAVED, OPTIONS);
  for (const kept of [
    '<!-- a comment that stays -->',
    '<serial>abc</serial>',
    "bus='virtio'",
    'OVMF_CODE.fd',
    'guest_agent.0',
  ]) {
    expect(xml).toContain(kept);
  }
  expect(xml).toContain("<source protocol='nbd' name='vda'>");
  expect(xml).toMatch(/cache='unsafe'/);
});

test('a VM that is to be kept has the cache that was saved', () => {
  const { xml } = transientXml(SAVED, { ...OPTIONS, throwAway: false });
  expect(xml).toContain("cache='none' io='native'");
});

test('with network, addresses are new, and a named network takes the place of the saved one', () => {
  const saved = transientXml(SAVED, { ...OPTIONS, network: { kind: 'saved' } }).xml;
  expect(saved).toContain("network='default'");
  expect(saved).not.toContain('52:54:00');
  const named = transientXml(SAVED, { ...OPTIONS, network: { kind: 'named', network: 'isolated' } }).xml;
  expect(named).toContain("<source network='isolated'/>");
  expect(named).not.toContain("network='default'");
});
