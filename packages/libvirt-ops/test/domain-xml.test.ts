import { describe, expect, test } from 'vitest';
import { parseDomain } from '../src/index.ts';
import { parseDomainCapabilities } from '../src/xml/capabilities.ts';

const UUID = '8dd0e290-23b2-4814-b398-0657525ab75f';

function domain(devices: string, more = ''): string {
  return `<domain type='kvm' id='3'><name>vm1</name><uuid>${UUID}</uuid>${more}<devices>${devices}</devices></domain>`;
}

async function disk(xml: string) {
  const { disks } = await parseDomain(domain(xml));
  expect(disks).toHaveLength(1);
  const [only] = disks;
  if (only === undefined) throw new Error('unreachable');
  return only;
}

describe('a domain', () => {
  test('has a name, a uuid and a type', async () => {
    expect(await parseDomain(domain(''))).toMatchObject({ name: 'vm1', uuid: UUID, type: 'kvm', disks: [] });
  });

  test('keeps quotes, brackets, markup and other scripts in its name and paths', async () => {
    const name = `vm "1" 'x' [a] <&> é 日本 🚀 constructor`;
    const escaped = `vm &quot;1&quot; &apos;x&apos; [a] &lt;&amp;&gt; é 日本 &#x1F680; constructor`;
    const xml = `<domain><name>${escaped}</name><devices><disk type='file'><source file="/a/${escaped}"/><target dev='vda'/></disk></devices></domain>`;
    const parsed = await parseDomain(xml);
    expect(parsed.name).toBe(name);
    expect(parsed.disks[0]?.source).toBe(`/a/${name}`);
  });

  test('keeps its disks in their order, also with other devices between them', async () => {
    const { disks } = await parseDomain(
      domain(
        `<emulator>/q</emulator><disk type='file'><target dev='vdb'/></disk><controller type='usb'/>
         <disk type='file'><target dev='sda'/></disk><interface/><disk type='file'><target dev='vda'/></disk>`,
      ),
    );
    expect(disks.map(({ target }) => target)).toEqual(['vdb', 'sda', 'vda']);
  });

  test('names the files that it needs to boot', async () => {
    const os = `<os><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
      <nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/vm1_VARS.fd</nvram>
      <kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd></os>`;
    expect((await parseDomain(domain('', os))).bootFiles).toEqual({
      loader: '/usr/share/OVMF/OVMF_CODE.fd',
      nvram: '/var/lib/libvirt/qemu/nvram/vm1_VARS.fd',
      kernel: '/boot/vmlinuz',
      initrd: '/boot/initrd',
    });
    const newer = `<os><nvram type='file'><source file='/nv/vm1.fd'/></nvram></os>`;
    expect((await parseDomain(domain('', newer))).bootFiles).toEqual({ nvram: '/nv/vm1.fd' });
  });

  test('tells whether it has a guest agent and an emulated TPM', async () => {
    const agent = `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`;
    const tpm = `<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`;
    expect(await parseDomain(domain(agent + tpm))).toMatchObject({ guestAgent: true, emulatedTpm: true });
    const others = `<channel type='spicevmc'><target name='com.redhat.spice.0'/></channel>
      <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`;
    expect(await parseDomain(domain(others))).toMatchObject({ guestAgent: false, emulatedTpm: false });
  });
});

test('a running domain tells as which user its qemu runs, and what confines it', async () => {
  const labels = `<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-x</label></seclabel>
    <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label></seclabel>`;
  const { qemuUser, securityModels } = await parseDomain(domain('', labels));
  expect(qemuUser).toEqual({ uid: 64055, gid: 108 });
  expect(securityModels).toEqual(['apparmor', 'dac']);
  expect(await parseDomain(domain(''))).toMatchObject({ qemuUser: null, securityModels: [] });
});

test('a domain tells the kind of guest that it is', async () => {
  const os = "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>";
  expect(await parseDomain(domain('<emulator>/q</emulator>', os))).toMatchObject({
    ...{ emulator: '/q', arch: 'x86_64', machine: 'pc-q35-7.2', type: 'kvm' },
  });
  expect(await parseDomain(domain(''))).toMatchObject({ emulator: null, arch: null, machine: null });
});

describe('capabilities of a kind of guest', () => {
  const told = (features: string) =>
    parseDomainCapabilities(`<domainCapabilities><path>/q</path><features>${features}</features></domainCapabilities>`);

  test('tell whether backups are possible', async () => {
    expect(await told("<gic supported='no'/><backup supported='yes'/>")).toEqual({ backup: true });
    expect(await told("<backup supported='no'/>")).toEqual({ backup: false });
  });

  test('may not speak of backups at all', async () => {
    expect(await told("<gic supported='no'/>")).toEqual({ backup: null });
    expect(await parseDomainCapabilities('<domainCapabilities/>')).toEqual({ backup: null });
  });
});

describe('a disk', () => {
  test('that is a qcow2 file', async () => {
    const xml = `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/images/a.qcow2' index='1'/><backingStore/><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>`;
    expect(await disk(xml)).toEqual({
      target: 'vda',
      bus: 'virtio',
      device: 'disk',
      type: 'file',
      format: 'qcow2',
      source: '/images/a.qcow2',
      readonly: false,
      shareable: false,
      transient: false,
      backingChain: false,
      encrypted: false,
    });
  });

  test('that is a block device', async () => {
    const xml = `<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/lv'/><target dev='vdb'/></disk>`;
    expect(await disk(xml)).toMatchObject({ type: 'block', source: '/dev/vg/lv', format: 'raw', bus: null });
  });

  test('that is a volume of a pool', async () => {
    const xml = `<disk type='volume' device='disk'><driver type='qcow2'/><source pool='default' volume='a b.qcow2'/><target dev='vdc'/></disk>`;
    expect(await disk(xml)).toMatchObject({
      type: 'volume',
      source: null,
      volume: { pool: 'default', volume: 'a b.qcow2' },
    });
  });

  test('that lies on the network', async () => {
    const xml = `<disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='pool/image'><host name='ceph'/></source><target dev='vdd'/></disk>`;
    expect(await disk(xml)).toMatchObject({
      type: 'network',
      source: null,
      network: { protocol: 'rbd', name: 'pool/image' },
    });
  });

  test('that is an optical drive, with a medium and without', async () => {
    const full = `<disk type='file' device='cdrom'><driver type='raw'/><source file='/iso/a.iso'/><target dev='sda' bus='sata'/><readonly/></disk>`;
    expect(await disk(full)).toMatchObject({ device: 'cdrom', source: '/iso/a.iso', readonly: true });
    const empty = `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`;
    expect(await disk(empty)).toMatchObject({ device: 'cdrom', source: null, readonly: true });
  });

  test('that is a floppy drive', async () => {
    const xml = `<disk type='file' device='floppy'><source file='/f.img'/><target dev='fda' bus='fdc'/></disk>`;
    expect(await disk(xml)).toMatchObject({ device: 'floppy', target: 'fda' });
  });

  test('that passes a LUN through', async () => {
    const xml = `<disk type='block' device='lun'><driver type='raw'/><source dev='/dev/sdx'/><target dev='sdb' bus='scsi'/><shareable/></disk>`;
    expect(await disk(xml)).toMatchObject({ device: 'lun', source: '/dev/sdx', shareable: true });
  });

  test('of the rarer types', async () => {
    const nvme = `<disk type='nvme' device='disk'><driver type='raw'/><source type='pci' managed='yes' namespace='1'/><target dev='vde'/></disk>`;
    expect(await disk(nvme)).toMatchObject({ type: 'nvme', source: null });
    const vhost = `<disk type='vhostuser' device='disk'><source type='unix' path='/s'/><target dev='vdf'/></disk>`;
    expect(await disk(vhost)).toMatchObject({ type: 'vhostuser', source: null });
    const folder = `<disk type='dir' device='floppy'><source dir='/d'/><target dev='fdb'/></disk>`;
    expect(await disk(folder)).toMatchObject({ type: 'dir', source: '/d' });
  });

  test('without a driver is raw, as libvirt takes it', async () => {
    expect(await disk(`<disk type='file'><source file='/a'/><target dev='vda'/></disk>`)).toMatchObject({
      format: 'raw',
      device: 'disk',
    });
    expect(await disk(`<disk><driver name='qemu'/><target dev='vda'/></disk>`)).toMatchObject({
      format: 'raw',
      type: 'file',
    });
  });

  test('with a backing chain, however long, and at its end', async () => {
    const chain = `<disk type='file'><driver type='qcow2'/><source file='/2'/><backingStore type='file'><format type='qcow2'/><source file='/1'/>
      <backingStore type='file'><format type='raw'/><source file='/0'/><backingStore/></backingStore></backingStore><target dev='vda'/></disk>`;
    expect(await disk(chain)).toMatchObject({ source: '/2', backingChain: true });
    expect(await disk(`<disk><source file='/2'/><target dev='vda'/></disk>`)).toMatchObject({ backingChain: false });
  });

  test('with a data file of its own', async () => {
    const xml = `<disk type='file'><driver type='qcow2'/><source file='/a.qcow2'><dataStore type='file'><format type='raw'/><source file='/a.raw'/></dataStore></source><target dev='vda'/></disk>`;
    expect(await disk(xml)).toMatchObject({ source: '/a.qcow2', dataFile: '/a.raw' });
    const block = `<disk type='file'><driver type='qcow2'/><source file='/a.qcow2'><dataStore type='block'><format type='raw'/><source dev='/dev/vg/a'/></dataStore></source><target dev='vda'/></disk>`;
    expect(await disk(block)).toMatchObject({ dataFile: '/dev/vg/a' });
  });

  test('that is encrypted, in either place where libvirt says so', async () => {
    const secret = `<encryption format='luks'><secret type='passphrase' uuid='${UUID}'/></encryption>`;
    const inside = `<disk type='file'><driver type='qcow2'/><source file='/a'>${secret}</source><target dev='vda'/></disk>`;
    const beside = `<disk type='file'><driver type='qcow2'/><source file='/a'/>${secret}<target dev='vda'/></disk>`;
    expect(await disk(inside)).toMatchObject({ encrypted: true, secret: { uuid: UUID } });
    expect(await disk(beside)).toMatchObject({ encrypted: true, secret: { uuid: UUID } });
  });

  test('whose changes are thrown away', async () => {
    expect(await disk(`<disk><source file='/a'/><target dev='vda'/><transient/></disk>`)).toMatchObject({
      transient: true,
    });
  });
});

describe('refused is', () => {
  const bad: [string, string, RegExp][] = [
    ['a DOCTYPE', `<!DOCTYPE domain [<!ENTITY a "b">]><domain><name>x</name></domain>`, /DOCTYPE/],
    ['a bare DOCTYPE, after a comment', `<?xml version="1.0"?><!-- c --><!doctype domain><domain/>`, /DOCTYPE/],
    ['an entity of its own', '<domain><name>&bomb;</name></domain>', /entity/],
    ['a second root', '<domain><name>x</name></domain><domain/>', /more than one root/],
    ['what follows the root', '<domain><name>x</name></domain>more', /cannot be read/],
    ['an unclosed element', '<domain><name>x</name>', /cannot be read/],
    ['another root', '<network><name>x</name></network>', /not a <domain>/],
    ['an empty text', '  \n', /empty/],
    ['no XML at all', 'hello', /cannot be read/],
    ['a domain without a name', '<domain/>', /no <name>/],
    ['a disk without a target', domain(`<disk type='file'/>`), /<target/],
    ['a disk of an unknown type', domain(`<disk type='tape'><target dev='vda'/></disk>`), /tape/],
    ['a disk of an unknown device', domain(`<disk device='tape'><target dev='vda'/></disk>`), /tape/],
    ['a text that is far too long', `<domain>${' '.repeat(16 << 20)}</domain>`, /too long/],
  ];
  test.each(bad)('%s', async (_, xml, message) => {
    const error = await parseDomain(xml).catch((e: unknown) => e);
    expect(error).toMatchObject({ name: 'LibvirtError', code: 'BAD_XML' });
    expect(String(error)).toMatch(message);
  });
});

test('elements and attributes named like members of Object do no harm', async () => {
  const xml = `<domain><__proto__ polluted='1'/><constructor><prototype/></constructor><hasOwnProperty/><_>t</_><toString a='1'/>
    <name>x</name><devices><disk __proto__='1' constructor='2'><target dev='vda'/></disk></devices></domain>`;
  const parsed = await parseDomain(xml);
  expect(parsed).toMatchObject({ name: 'x', disks: [{ target: 'vda' }] });
  expect(Reflect.get({}, 'polluted')).toBeUndefined();
});

test('a DOCTYPE that is only spoken of is text', async () => {
  const xml = `<domain><!-- <!DOCTYPE x> --><name>x</name><description><![CDATA[<!DOCTYPE y>]]></description></domain>`;
  expect((await parseDomain(xml)).name).toBe('x');
});

test('elements nested without end are refused', async () => {
  const nested = (levels: number) => `<domain><name>x</name>${'<a>'.repeat(levels)}${'</a>'.repeat(levels)}</domain>`;
  expect((await parseDomain(nested(900))).name).toBe('x');
  await expect(parseDomain(nested(100_000))).rejects.toMatchObject({ code: 'BAD_XML' });
});
