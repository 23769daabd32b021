import { describe, expect, test } from 'vitest';
import { type Adjustment, adjustDomain, type RestoredDisk } from '../src/index.ts';

const vda: RestoredDisk = { kind: 'file', path: '/r/vda.qcow2', format: 'qcow2' };

function domain(devices: string, more = ''): string {
  return `<domain type='kvm' id='3'>\n  <name>vm1</name>\n  <uuid>8dd0e290-23b2-4814-b398-0657525ab75f</uuid>${more}\n  <devices>\n    ${devices}\n  </devices>\n</domain>\n`;
}

function disk(inside: string, attributes = "type='file' device='disk'"): string {
  return `<disk ${attributes}>${inside}<target dev='vda' bus='virtio'/></disk>`;
}

/** The devices after the adjustment. */
function adjusted(devices: string, adjustment: Partial<Adjustment> = {}) {
  const result = adjustDomain(domain(devices), { disks: new Map([['vda', vda]]), ...adjustment });
  const [, inside = ''] = /<devices>\s*([\s\S]*?)\s*<\/devices>/.exec(result.xml) ?? [];
  return { ...result, devices: inside };
}

const DRIVER = "<driver name='qemu' type='qcow2'/>";
const SOURCE = "<source file='/images/a.qcow2' index='1'/>";

describe('the name', () => {
  test('gets restore_ before it, the uuid goes, and both are told', () => {
    const { xml, name, changes } = adjustDomain(domain(''), { disks: new Map() });
    expect([name, xml]).toEqual([
      'restore_vm1',
      `<domain type='kvm' id='3'>\n  <name>restore_vm1</name>\n  <devices>\n    \n  </devices>\n</domain>\n`,
    ]);
    expect(changes).toEqual([
      'name: restore_vm1, was vm1',
      'uuid: libvirt gives a new one, was 8dd0e290-23b2-4814-b398-0657525ab75f',
    ]);
  });

  test('is the one that was asked for, whatever is in it', () => {
    const { xml } = adjustDomain(domain(''), { name: `a <b> & "c"`, disks: new Map() });
    expect(xml).toContain('<name>a &lt;b&gt; &amp; &quot;c&quot;</name>');
  });
});

describe('a disk', () => {
  test('in a file gets the new path, and keeps the rest to the byte', () => {
    const before = `<disk device="disk"  type='file'>${DRIVER}<!-- here --><source file='/images/a.qcow2' index='1'><seclabel model='dac' relabel='no'/></source><target dev='vda'/><serial>1</serial></disk>`;
    const { devices, changes } = adjusted(before);
    expect(devices).toBe(before.replace('/images/a.qcow2', '/r/vda.qcow2'));
    expect(changes).toContain('disk vda: /r/vda.qcow2, was /images/a.qcow2');
  });

  test.each([
    [
      'a volume',
      "type='volume' device='disk'",
      "<source pool='p' volume='v' startupPolicy='optional'/>",
      'volume v of pool p',
    ],
    [
      'a block device',
      "type='block' device='disk'",
      "<source dev='/dev/vg/lv'><reservations managed='yes'/></source>",
      '/dev/vg/lv',
    ],
    [
      'on a network',
      "type='network' device='disk'",
      "<source protocol='rbd' name='p/i' tls='yes'><host name='m'/><auth username='u'/></source>",
      'network rbd p/i',
    ],
    ['empty', "type='file' device='disk'", '', 'empty'],
  ])('that is %s becomes a file', (_, attributes, source, was) => {
    const { devices, changes } = adjusted(disk(`${DRIVER}${source}`, attributes));
    expect(devices.replace('></source>', '/>')).toBe(disk(`${DRIVER}<source file='/r/vda.qcow2'/>`));
    expect(changes).toContain(`disk vda: /r/vda.qcow2, was ${was}`);
  });

  test('that was restored to a device becomes a block device', () => {
    const disks = new Map([['vda', { kind: 'device', path: '/dev/vg/new', format: 'raw' } as const]]);
    const { devices } = adjusted(disk(`${DRIVER}${SOURCE}`), { disks });
    expect(devices).toBe(
      disk(
        "<driver name='qemu' type='raw'/><source dev='/dev/vg/new' index='1'/>",
        "type='block' device='disk'",
      ).replace(" index='1'", ''),
    );
  });

  test('gets the format of its image, also when it named none', () => {
    expect(adjusted(disk(SOURCE)).devices).toBe(
      disk(`<driver name='qemu' type='qcow2'/>${SOURCE.replace('/images/a.qcow2', '/r/vda.qcow2')}`),
    );
    const raw = new Map([['vda', { ...vda, format: 'raw' }]]);
    const driver = "<driver name='qemu' type='qcow2' discard_no_unref='on'><metadata_cache/></driver>";
    const { devices, changes } = adjusted(disk(`${driver}${SOURCE}`), { disks: raw });
    expect(devices).toContain("<driver name='qemu' type='raw'></driver>");
    expect(changes).toContain('disk vda: format raw, was qcow2');
  });

  test('loses the layers that were under it, and the copy that was under way', () => {
    const store = "<backingStore type='file'><format type='qcow2'/><source file='/b'/><backingStore/></backingStore>";
    const mirror = "<mirror type='file' file='/m' job='copy'><source file='/m'/></mirror>";
    const { devices, changes } = adjusted(disk(`${DRIVER}${SOURCE}${store}${mirror}`));
    expect(devices).not.toMatch(/backingStore|mirror/);
    expect(changes.join('\n')).toMatch(/no backing store[\s\S]*copy that was under way/);
  });

  test('keeps an empty backing store, which says that there is none', () => {
    expect(adjusted(disk(`${DRIVER}${SOURCE}<backingStore/>`)).devices).toContain('<backingStore/>');
  });

  test('is not encrypted any more, wherever that stood, and that is told', () => {
    const encryption = "<encryption format='luks'><secret type='passphrase' uuid='u'/></encryption>";
    for (const inside of [`<source file='/a'>${encryption}</source>`, `<source file='/a'/>${encryption}`]) {
      const { devices, changes } = adjusted(disk(DRIVER + inside));
      expect(devices).not.toContain('encryption');
      expect(changes).toContain('disk vda: not encrypted any more, as what was restored is not');
    }
  });

  test('names its own data file, and never the old one', () => {
    const old =
      "<source file='/a'><dataStore type='block'><format type='raw'/><source dev='/dev/vg/a'/></dataStore></source>";
    expect(adjusted(disk(DRIVER + old)).devices).not.toContain('dataStore');
    const disks = new Map([['vda', { ...vda, dataFile: '/r/vda.raw' }]]);
    const { devices } = adjusted(disk(DRIVER + old), { disks });
    expect(devices).toContain("<dataStore type='file'>");
    expect(devices).toContain("<source file='/r/vda.raw'/>");
    expect(devices).not.toContain('/dev/vg/a');
  });

  test('that was passed through as a LUN is a disk', () => {
    const { devices } = adjusted(
      disk(
        "<driver name='qemu' type='raw'/><source dev='/dev/sdx'/>",
        "type='block' device='lun' rawio='yes' sgio='unfiltered'",
      ),
    );
    expect(devices).toContain("<disk type='file' device='disk'>");
  });

  test('that several VMs may use is its own only, unless it is raw', () => {
    const shared = disk(`${DRIVER}${SOURCE}<shareable/>`);
    expect(adjusted(shared).devices).not.toContain('shareable');
    const disks = new Map([['vda', { ...vda, format: 'raw' }]]);
    expect(adjusted(shared, { disks }).devices).toContain('shareable');
  });

  test.each(['cdrom', 'floppy'])('that is a %s drive goes, with its line', (device) => {
    const other = `<disk type='file' device='${device}'><source file='/iso'/><target dev='sda'/></disk>`;
    const { devices, changes } = adjusted(`${other}\n    <controller type='scsi'/>`);
    expect(devices).toBe("<controller type='scsi'/>");
    expect(changes).toContain(`disk sda: removed, as a ${device} drive is no part of a backup (/iso)`);
  });

  test('that was not restored goes; a raw one stays when that was asked for', () => {
    const other = disk("<driver name='qemu' type='raw'/><source dev='/dev/vg/lv'/>", "type='block' device='disk'");
    const gone = adjusted(other, { disks: new Map() });
    expect([gone.devices, gone.changes.at(-1)]).toEqual(['', 'disk vda: removed, as it was not restored (/dev/vg/lv)']);
    const kept = adjusted(other, { disks: new Map(), keepRaw: true });
    expect(kept.devices).toBe(other);
    expect(kept.warnings).toEqual([
      'disk vda: was not restored, and stays as it is: /dev/vg/lv, which the original VM uses, too',
    ]);
    const qcow2 = disk(DRIVER + SOURCE);
    expect(adjusted(qcow2, { disks: new Map(), keepRaw: true }).devices).toBe('');
  });

  test('that the configuration lacks is told', () => {
    expect(adjusted('').warnings).toEqual(['disk vda: restored, but the saved configuration does not have it']);
  });
});

describe('files to start from', () => {
  const NVRAM = "<nvram template='/t.fd'>/nv/vm1_VARS.fd</nvram>";
  const os = (inside: string): string => `\n  <os>\n    <type>hvm</type>\n    ${inside}\n  </os>`;
  const boot = (inside: string, bootFiles: Adjustment['bootFiles']) =>
    adjustDomain(domain('', os(inside)), { disks: new Map(), bootFiles });

  test('get their new paths', () => {
    const { xml, changes } = boot(
      `<loader readonly='yes'>/fw/code.fd</loader>${NVRAM}<kernel> /k </kernel>`,
      new Map([
        ['loader', '/r/code.fd'],
        ['nvram', '/r/vm1_VARS.fd'],
        ['kernel', '/r/k'],
      ]),
    );
    expect(xml).toContain(
      "<loader readonly='yes'>/r/code.fd</loader><nvram template='/t.fd'>/r/vm1_VARS.fd</nvram><kernel>/r/k</kernel>",
    );
    expect(changes).toContain('nvram: /r/vm1_VARS.fd, was /nv/vm1_VARS.fd');
  });

  test('that stand in a source become files', () => {
    const source =
      "<nvram type='network'><source protocol='iscsi' name='iqn/0'><host name='h'/><auth username='u'/></source></nvram>";
    const { xml } = boot(source, new Map([['nvram', '/r/v.fd']]));
    expect(xml).toContain("<nvram type='file'><source file='/r/v.fd'></source></nvram>");
  });

  test('are made anew by libvirt where there is nothing to restore', () => {
    expect(boot(NVRAM, new Map([['nvram', null]])).xml).toContain("<nvram template='/t.fd'></nvram>");
    expect(boot('<nvram>/nv/v.fd</nvram>', new Map([['nvram', null]])).xml).not.toContain('nvram');
    const source = "<nvram template='/t.fd' type='file'><source file='/nv/v.fd'/></nvram>";
    expect(boot(source, new Map([['nvram', null]])).xml).toContain("<nvram template='/t.fd'></nvram>");
  });
});

test('MAC addresses stay, with a warning, or go when new ones are asked for', () => {
  const devices =
    "<interface type='user'>\n      <mac address='52:54:00:11:22:33'/>\n      <model type='virtio'/>\n    </interface>";
  const kept = adjusted(devices);
  expect(kept.devices).toBe(devices);
  expect(kept.warnings.at(-1)).toContain('52:54:00:11:22:33');
  const fresh = adjusted(devices, { newMac: true });
  expect(fresh.devices).toBe("<interface type='user'>\n      <model type='virtio'/>\n    </interface>");
  expect(fresh.changes).toContain('MAC addresses: libvirt gives new ones, were 52:54:00:11:22:33');
});

describe('a hostile configuration', () => {
  const bad = expect.objectContaining({ code: 'BAD_DOMAIN' });
  const evil = "<source file='/etc/shadow'/>";

  test.each([
    ['two sources in a disk', domain(disk(`${DRIVER}${SOURCE}${evil}`))],
    ['two drivers in a disk', domain(disk(DRIVER + DRIVER + SOURCE))],
    ['two targets in a disk', domain(disk(`${SOURCE}<target dev='vdb'/>`))],
    ['two disks of one target', domain(disk(SOURCE) + disk(evil))],
    ['a disk without a target', domain(`<disk type='file'>${evil}</disk>`)],
    [
      'a source of a foreign namespace in a disk',
      domain(disk(`${SOURCE}<x:source xmlns:x='urn:x' file='/etc/shadow'/>`)),
    ],
    ['a foreign namespace for all in a disk', domain(disk(`${SOURCE}<driver xmlns='urn:x'/>`))],
    ['a kernel of a foreign namespace', domain('', "<os><x:kernel xmlns:x='urn:x'>/etc/shadow</x:kernel></os>")],
    ['two names', domain('', '<name>other</name>')],
    ['no name', '<domain/>'],
    ['two boot configurations', domain('', '<os/><os/>')],
  ])('with %s is refused', (_, xml) => {
    expect(() => adjustDomain(xml, { disks: new Map([['vda', vda]]) })).toThrow(bad);
  });

  test('cannot hide a disk in a second list of devices', () => {
    const xml = domain('').replace('<devices>', `<devices>${disk(evil).replace('vda', 'vdb')}</devices><devices>`);
    expect(adjustDomain(xml, { disks: new Map() }).xml).not.toContain('/etc/shadow');
  });

  test('cannot leave a way to another file in a restored disk', () => {
    const inside = `${DRIVER}<source file='/a' dev='/etc/shadow' pool='p' name='/etc/shadow'><dataStore type='file'>${evil}</dataStore><x file='/etc/shadow'/></source>
      <backingStore type='file'>${evil}</backingStore><backingStore>${evil}</backingStore><mirror>${evil}</mirror><auth secret='/etc/shadow'/>`;
    expect(adjusted(disk(inside)).devices).not.toContain('/etc/shadow');
  });
});
