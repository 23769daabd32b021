import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  assertSafeName,
  BackupSetError,
  bootFileName,
  checkpointNumber,
  chunkFileName,
  chunkFileNameOf,
  dataFileName,
  imageInfoName,
  intentName,
  logFileName,
  manifestName,
  parseFileName,
  recoveryKeyName,
  SET_LOCK_NAME,
  verdictName,
  vmLockName,
} from '../src/index.ts';

const code = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof BackupSetError ? error.code : String(error);
  }
};

describe('file names', () => {
  test.each([
    ['vda.full.data', { kind: 'data', disk: 'vda', level: 'full', ident: null, partial: false }],
    ['vdaa.full.data', { kind: 'data', disk: 'vdaa', level: 'full', ident: null, partial: false }],
    ['vda.copy.data', { kind: 'data', disk: 'vda', level: 'copy', ident: null, partial: false }],
    ['vda.copy.data.partial', { kind: 'data', disk: 'vda', level: 'copy', ident: null, partial: true }],
    [
      'sda.inc.virtnbdbackup.12.data',
      { kind: 'data', disk: 'sda', level: 'inc', ident: 'virtnbdbackup.12', partial: false },
    ],
    ['sda.inc.foreign.data', { kind: 'data', disk: 'sda', level: 'inc', ident: 'foreign', partial: false }],
    ['vda.diff.1795421522.data', { kind: 'data', disk: 'vda', level: 'diff', ident: '1795421522', partial: false }],
    ['vda.full.data.chksum', { kind: 'adler32', disk: 'vda', level: 'full', ident: null, partial: false }],
    ['vda.full.chunks', { kind: 'chunks', disk: 'vda', level: 'full', ident: null, partial: false }],
    ['my vm.cpt', { kind: 'checkpoint-list', domain: 'my vm', partial: false }],
    ['vmconfig.virtnbdbackup.0.xml', { kind: 'domain-xml', ident: 'virtnbdbackup.0', partial: false }],
    ['vmconfig.copy.xml', { kind: 'domain-xml', ident: 'copy', partial: false }],
    ['vda.1795421522.qcow.json', { kind: 'image-info', disk: 'vda', ident: '1795421522', partial: false }],
    ['OVMF_VARS.fd.virtnbdbackup.3', { kind: 'boot', base: 'OVMF_VARS.fd', ident: 'virtnbdbackup.3', partial: false }],
    ['autostart.virtnbdbackup.3', { kind: 'autostart', ident: 'virtnbdbackup.3', partial: false }],
    ['tpmstate.virtnbdbackup.3.tar', { kind: 'tpm-state', ident: 'virtnbdbackup.3', partial: false }],
    ['osinfo.copy', { kind: 'guest-info', ident: 'copy', partial: false }],
    ['bitlocker.recovery.key.C.copy', { kind: 'recovery-key', volume: 'C', ident: 'copy', partial: false }],
    ['backup.full.11232026100000.log', { kind: 'log', level: 'full', stamp: '11232026100000', partial: false }],
    ['virtnbdbackup.1.manifest.json', { kind: 'manifest', ident: 'virtnbdbackup.1', partial: false }],
    ['1795421522.intent.json', { kind: 'intent', ident: '1795421522', partial: false }],
    ['copy.verdict.json', { kind: 'verdict', ident: 'copy', partial: false }],
    ['virtnbd.lock', { kind: 'set-lock', partial: false }],
    ['virtnbd.vm.4cddffbf-aab2-40d6-87f2-d9b20e6f0c07.lock', { kind: 'vm-lock', partial: false }],
    ['virtnbdbackup.1.checkpoint.xml.partial', { kind: 'checkpoint-xml', ident: 'virtnbdbackup.1', partial: true }],
  ])('%s is understood', (name, expected) => {
    expect(parseFileName(name)).toEqual(expected);
  });

  test.each(['', '..', 'a/vda.full.data', 'vda.full.data\n', 'vda.diff.x.data', 'vda.data', 'full.data', 'notes.txt'])(
    '%j belongs to nobody',
    (name) => {
      expect(parseFileName(name)).toBeNull();
    },
  );

  test('data file names are read back as what they were made of', () => {
    const disk = fc.stringMatching(/^[a-z]{1,6}$/);
    const input = fc.oneof(
      fc.record({ disk, level: fc.constantFrom('full' as const, 'copy' as const) }),
      fc.record({ disk, level: fc.constant('inc' as const), checkpoint: fc.nat().map((n) => `virtnbdbackup.${n}`) }),
      fc.record({
        disk,
        level: fc.constant('diff' as const),
        unixTime: fc.integer({ min: 100_000_000, max: 4_000_000_000 }),
      }),
    );
    fc.assert(
      fc.property(input, (parts) => {
        const name = dataFileName(parts);
        expect(parseFileName(name)).toMatchObject({ kind: 'data', disk: parts.disk, level: parts.level });
        expect(chunkFileNameOf(name)).toBe(chunkFileName(parts));
        expect(parseFileName(chunkFileName(parts))).toMatchObject({ kind: 'chunks', disk: parts.disk });
      }),
    );
  });

  test('none of our own names is caught by what the established tool looks for', () => {
    const own = [
      manifestName('virtnbdbackup.0'),
      intentName('copy'),
      verdictName('1795421522'),
      SET_LOCK_NAME,
      vmLockName('4cddffbf-aab2-40d6-87f2-d9b20e6f0c07'),
      chunkFileName({ disk: 'vda', level: 'inc', checkpoint: 'virtnbdbackup.1' }),
    ];
    for (const name of own) expect(name).not.toMatch(/\.data|\.partial|\.qcow\.json|vmconfig|\.cpt$/);
  });

  test.each(['', '.', '..', 'a/b', 'a\0b', 'a\nb', 'a\u009bb', 'x'.repeat(256), 'é'.repeat(128), '\ud800'])(
    '%j is refused as a file name',
    (name) => {
      expect(code(() => assertSafeName(name))).toBe('BAD_NAME');
    },
  );

  test.each(['a', '...', 'a b[1]\'"$', 'x'.repeat(255), 'é'.repeat(127)])('%j is a fine file name', (name) => {
    expect(assertSafeName(name)).toBe(name);
  });

  test('names are not built of parts that do not fit', () => {
    expect(code(() => dataFileName({ disk: '../vda', level: 'full' }))).toBe('BAD_NAME');
    expect(code(() => dataFileName({ disk: 'vda', level: 'inc', checkpoint: '../x' }))).toBe('BAD_NAME');
    expect(code(() => dataFileName({ disk: 'vda', level: 'diff', unixTime: 12 }))).toBe('BAD_NAME');
    expect(code(() => imageInfoName('vda', '..'))).toBe('BAD_NAME');
    expect(code(() => manifestName('x'))).toBe('BAD_NAME');
    expect(code(() => recoveryKeyName('../C', 'copy'))).toBe('BAD_NAME');
    expect(code(() => bootFileName('vda.full.data', 'copy'))).toBe('BAD_NAME');
  });

  test('a boot file of a copy keeps its name', () => {
    expect(bootFileName('OVMF_VARS.fd', 'copy')).toBe('OVMF_VARS.fd');
    expect(bootFileName('OVMF_VARS.fd', 'virtnbdbackup.0')).toBe('OVMF_VARS.fd.virtnbdbackup.0');
  });

  test('only virtnbdbackup.N is a checkpoint of ours', () => {
    expect(checkpointNumber('virtnbdbackup.12')).toBe(12);
    for (const name of ['virtnbdbackup.', 'virtnbdbackup.01', 'virtnbdbackup.1x', 'xvirtnbdbackup.1', 'backup.1']) {
      expect(checkpointNumber(name)).toBeNull();
    }
  });

  test('the log is named after the local time', () => {
    expect(logFileName('inc', new Date(2026, 0, 2, 3, 4, 5))).toBe('backup.inc.01022026030405.log');
  });
});
