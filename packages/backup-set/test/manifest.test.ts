import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackupSetError, decodeManifest, encodeManifest, type Manifest } from '../src/index.ts';
import { domain, writer } from './support.ts';

const sha = 'a'.repeat(64);

const manifest: Manifest = {
  point: 'virtnbdbackup.1',
  level: 'inc',
  created: '2026-11-23T10:00:00.000Z',
  writer,
  domain,
  checkpoint: { name: 'virtnbdbackup.1', creationTime: 1_700_000_001 },
  parent: 'virtnbdbackup.0',
  parentCheckpoint: { name: 'virtnbdbackup.0', creationTime: 1_700_000_000 },
  disks: [
    {
      disk: 'vda',
      file: 'vda.inc.virtnbdbackup.1.data',
      kind: 'stream',
      base: false,
      virtualSize: 1024,
      format: 'qcow2',
      imageName: 'disk [1].qcow2',
      header: { checkpointName: 'virtnbdbackup.1', parentCheckpoint: 'virtnbdbackup.0' },
    },
    {
      disk: 'vdb',
      file: 'vdb.full.data',
      kind: 'stream',
      base: true,
      virtualSize: 1024,
      format: 'qcow2',
      imageName: null,
      header: { checkpointName: 'virtnbdbackup.1', parentCheckpoint: '' },
    },
  ],
  files: [
    {
      name: 'vda.inc.virtnbdbackup.1.data',
      role: 'stream',
      size: 10,
      adler32: 1,
      chunks: { name: 'vda.inc.virtnbdbackup.1.chunks', sha256: sha },
    },
    { name: 'vda.inc.virtnbdbackup.1.chunks', role: 'chunks', size: 36, sha256: sha },
    { name: 'vdb.full.data', role: 'stream', size: 10, adler32: 1, chunks: { name: 'vdb.full.chunks', sha256: sha } },
    { name: 'vdb.full.chunks', role: 'chunks', size: 36, sha256: sha },
    { name: 'checkpoints/virtnbdbackup.1.xml', role: 'checkpoint-xml', size: 5, sha256: sha },
    { name: 'OVMF_VARS.fd.virtnbdbackup.1', role: 'boot', size: 5, sha256: sha },
  ],
};

/** A deep copy with one value changed, by its path. */
function changed(path: string, value: unknown): Uint8Array {
  const copy: unknown = JSON.parse(Buffer.from(encodeManifest(manifest)).toString());
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let place: unknown = copy;
  for (const key of keys) place = typeof place === 'object' && place !== null ? Reflect.get(place, key) : undefined;
  if (typeof place !== 'object' || place === null) throw new Error(`no ${path}`);
  if (value === undefined) Reflect.deleteProperty(place, last);
  else Reflect.set(place, last, value);
  return Buffer.from(JSON.stringify(copy));
}

const codeOf = (bytes: Uint8Array): string => {
  try {
    decodeManifest(bytes, 'x.manifest.json');
    return 'accepted';
  } catch (error) {
    return error instanceof BackupSetError ? error.code : String(error);
  }
};

describe('the manifest', () => {
  test('it is read as it was written', () => {
    expect(decodeManifest(encodeManifest(manifest), 'x')).toEqual(manifest);
  });

  test('its bytes say format and version first, for other readers', () => {
    const text = Buffer.from(encodeManifest(manifest)).toString();
    expect(text).toMatch(/^\{\n {2}"format": "virtnbd-restore-point",\n {2}"version": 1,\n/);
  });

  test.each<[string, unknown]>([
    ['format', 'zip'],
    ['version', 2],
    ['point', '../etc'],
    ['point', 'virtnbdbackup.2'],
    ['level', 'incremental'],
    ['level', 'full'],
    ['created', 'yesterday'],
    ['domain.uuid', 'x'],
    ['domain', undefined],
    ['checkpoint', null],
    ['checkpoint.creationTime', 1.5],
    ['checkpoint.creationTime', '1'],
    ['parent', null],
    ['parent', 'virtnbdbackup.1'],
    ['surprise', 1],
    ['disks', {}],
    ['disks.0.disk', '../vda'],
    ['disks.0.disk', 'vdaa'],
    ['disks.0.file', '/etc/passwd'],
    ['disks.0.file', 'vda.inc.virtnbdbackup.2.data'],
    ['disks.0.kind', 'raw'],
    ['disks.0.virtualSize', -1],
    ['disks.0.virtualSize', 2 ** 60],
    ['disks.0.format', '-o backing'],
    ['disks.0.imageName', '../../etc/passwd'],
    ['disks.0.imageName', 'a\u0000b'],
    ['disks.0.header', null],
    ['disks.1.base', false],
    ['disks.1.disk', 'vda'],
    ['files.0.name', 'a/b'],
    ['files.0.name', '..'],
    ['files.0.role', 'secret'],
    ['files.0.role', 'boot'],
    ['files.0.adler32', undefined],
    ['files.0.adler32', 2 ** 32],
    ['files.0.chunks', undefined],
    ['files.0.chunks.name', 'other.chunks'],
    ['files.0.chunks.sha256', 'b'.repeat(64)],
    ['files.0.chunks.sha256', 'A'.repeat(64)],
    ['files.1.sha256', undefined],
    ['files.1.name', 'vdb.full.chunks'],
    ['files.4.name', 'checkpoints/../x.xml'],
    ['files.4.name', 'checkpoints/foreign.xml'],
    ['files.5.name', 'checkpoints/virtnbdbackup.1.xml'],
    ['adopted', [{ name: 'vmconfig.xml', size: 1 }]],
  ])('it is refused with %s = %j', (path, value) => {
    expect(codeOf(changed(path, value))).toBe('BAD_MANIFEST');
  });

  test.each(['', 'null', '[]', '{', '\ufeff{}', '"x"'])('%j is not a manifest', (text) => {
    expect(codeOf(Buffer.from(text))).toBe('BAD_MANIFEST');
  });

  test('one that is too large is not parsed', () => {
    expect(codeOf(Buffer.alloc(5 * 1024 * 1024, 0x20))).toBe('BAD_MANIFEST');
  });

  test('whatever JSON it is, it is accepted or refused, and never anything else', () => {
    const paths = ['point', 'domain', 'checkpoint', 'parent', 'disks', 'disks.0', 'disks.0.header', 'files', 'files.0'];
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        expect(['accepted', 'BAD_MANIFEST']).toContain(codeOf(changed(path, value)));
      }),
    );
  });

  test('a flipped bit is never read as something that breaks its rules', () => {
    const bytes = Buffer.from(encodeManifest(manifest));
    for (let position = 0; position < bytes.length; position++) {
      const damaged = Buffer.from(bytes);
      damaged[position] = (damaged[position] ?? 0) ^ (1 << (position % 8));
      expect(['accepted', 'BAD_MANIFEST']).toContain(codeOf(damaged));
    }
  });

  test('a truncated manifest is refused at every length', () => {
    const bytes = encodeManifest(manifest);
    for (let length = 0; length < bytes.length - 1; length++) {
      expect(codeOf(bytes.subarray(0, length))).toBe('BAD_MANIFEST');
    }
  });

  test('what could not be read is not written either', () => {
    expect(() => encodeManifest({ ...manifest, point: 'x' })).toThrowError(
      expect.objectContaining({ code: 'BAD_MANIFEST' }),
    );
  });
});
