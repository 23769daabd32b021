import type { EditableElement } from '@virtnbd/libvirt-ops';
import { RestoreError } from '../errors.ts';
import { type Adjustment, type ChangeLog, only, type RestoredDisk, requireOwn } from './adjustment.ts';

/** Points every disk to what was restored of it, and takes the others away. */
export function adjustDisks(root: EditableElement, adjustment: Adjustment, log: ChangeLog): void {
  const seen = new Set<string>();
  // All of them, as libvirt's own look-up (./devices/disk) takes them.
  for (const disk of root.all('devices').flatMap((devices) => devices.all('disk'))) {
    requireOwn(disk);
    const target = only(disk, 'target')?.attribute('dev') ?? '';
    if (target === '' || seen.has(target)) {
      const what = target === '' ? 'a disk without a target device' : `two disks ${target}`;
      throw new RestoreError('BAD_DOMAIN', `the VM's configuration has ${what}, which libvirt never writes`);
    }
    seen.add(target);
    adjustDisk(disk, target, adjustment, log);
  }
  for (const target of adjustment.disks.keys())
    if (!seen.has(target)) log.warnings.push(`disk ${target}: restored, but the saved configuration does not have it`);
}

function adjustDisk(disk: EditableElement, target: string, { disks, keepRaw }: Adjustment, log: ChangeLog): void {
  const device = disk.attribute('device') ?? 'disk';
  const restored = disks.get(target);
  const source = describeSource(disk);
  if (device === 'cdrom' || device === 'floppy') {
    disk.remove();
    log.changes.push(`disk ${target}: removed, as a ${device} drive is no part of a backup (${source})`);
  } else if (restored !== undefined) {
    repoint(disk, target, restored, log);
  } else if (keepRaw === true && formatOf(disk) === 'raw') {
    log.warnings.push(
      `disk ${target}: was not restored, and stays as it is: ${source}, which the original VM uses, too`,
    );
  } else {
    disk.remove();
    log.changes.push(`disk ${target}: removed, as it was not restored (${source})`);
  }
}

function repoint(disk: EditableElement, target: string, restored: RestoredDisk, { changes }: ChangeLog): void {
  const tell = (what: string): number => changes.push(`disk ${target}: ${what}`);
  const old = describeSource(disk);
  if (disk.attribute('device') === 'lun') {
    disk.setAttribute('device', 'disk');
    for (const name of ['rawio', 'sgio']) disk.removeAttribute(name);
    tell('a disk, was a LUN that was passed through');
  }
  if (disk.child('encryption') !== undefined || disk.at('source', 'encryption') !== undefined)
    tell('not encrypted any more, as what was restored is not');
  setSource(disk, restored);
  tell(`${describeSource(disk)}, was ${old}`);
  setFormat(disk, restored.format, tell);
  removeLayers(disk, tell);
  // Encryption, and how to log in where the image was on a network.
  for (const name of ['encryption', 'auth']) for (const child of disk.all(name)) child.remove();
  if (restored.format === 'raw') return;
  for (const child of disk.all('shareable')) {
    child.remove();
    tell(`not shareable any more, as an image of format ${restored.format} cannot be`);
  }
}

/** What else stands in a source says where the data was, and how to get at it: only security labels are kept. */
function setSource(disk: EditableElement, { kind, path, dataFile }: RestoredDisk): void {
  const place = only(disk, 'target') ?? disk;
  const source = only(disk, 'source') ?? disk.insert({ name: 'source' }, { before: place });
  const [type, attribute] = kind === 'file' ? ['file', 'file'] : ['block', 'dev'];
  const kept = (disk.attribute('type') ?? 'file') === type ? [attribute, 'startupPolicy', 'index'] : [attribute];
  disk.setAttribute('type', type);
  for (const name of source.attributeNames) if (!kept.includes(name)) source.removeAttribute(name);
  source.setAttribute(attribute, path);
  for (const child of source.children) if (child.localName !== 'seclabel') child.remove();
  if (dataFile === undefined) return;
  source.insert({
    name: 'dataStore',
    attributes: { type: 'file' },
    children: [
      { name: 'format', attributes: { type: 'raw' } },
      { name: 'source', attributes: { file: dataFile } },
    ],
  });
}

function setFormat(disk: EditableElement, format: string, tell: (what: string) => void): void {
  const old = formatOf(disk);
  const driver = only(disk, 'driver');
  if (driver === undefined) {
    const [first] = disk.children;
    const added = { name: 'driver', attributes: { name: 'qemu', type: format } };
    disk.insert(added, first === undefined ? undefined : { before: first });
  } else {
    driver.setAttribute('type', format);
    if (format !== 'qcow2') {
      driver.removeAttribute('discard_no_unref');
      for (const child of driver.all('metadata_cache')) child.remove();
    }
  }
  if (old !== format) tell(`format ${format}, was ${old}`);
}

/** The restored image stands alone. An empty `<backingStore/>` says just that. */
function removeLayers(disk: EditableElement, tell: (what: string) => void): void {
  for (const store of disk.all('backingStore')) {
    if (store.children.length === 0 && store.attribute('type') === undefined) continue;
    store.remove();
    tell(`no backing store any more, as the restored image stands alone`);
  }
  for (const mirror of disk.all('mirror')) {
    mirror.remove();
    tell('without the copy that was under way');
  }
}

function formatOf(disk: EditableElement): string {
  return only(disk, 'driver')?.attribute('type') ?? 'raw';
}

/** What a disk's data is, in a few words; for people. */
function describeSource(disk: EditableElement): string {
  const source = only(disk, 'source');
  const path = source?.attribute('file') ?? source?.attribute('dev') ?? source?.attribute('dir');
  if (source === undefined || path !== undefined) return path ?? 'empty';
  const pool = source.attribute('pool');
  if (pool !== undefined) return `volume ${source.attribute('volume') ?? '?'} of pool ${pool}`;
  const parts = [disk.attribute('type'), source.attribute('protocol'), source.attribute('name')];
  return parts.filter((part) => part !== undefined).join(' ');
}
