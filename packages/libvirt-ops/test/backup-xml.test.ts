import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildBackupXml, buildCheckpointXml, parseBackupJob, parseCheckpoint } from '../src/index.ts';

const ODD = `a "b" 'c' [d] <&> ]]> é 日本 🚀 \t x`;

/** Texts that XML can carry. */
const text = fc
  .string({ unit: 'binary', minLength: 1 })
  .filter((value) => /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(value));

describe('the XML of a backup job', () => {
  test('is that of a pull job on a unix socket', () => {
    const xml = buildBackupXml({
      socketPath: '/run/x/s.sock',
      incremental: 'virtnbdbackup.3',
      disks: [
        { target: 'vda', backup: true, scratchFile: '/s/vda', exportName: 'vda', exportBitmap: 'changed' },
        { target: 'vdb', backup: true },
        { target: 'sda', backup: false, scratchFile: '/not/used' },
      ],
    });
    expect(xml).toBe(
      '<domainbackup mode="pull"><incremental>virtnbdbackup.3</incremental>' +
        '<server transport="unix" socket="/run/x/s.sock"/><disks>' +
        '<disk name="vda" backup="yes" type="file" exportname="vda" exportbitmap="changed"><scratch file="/s/vda"/></disk>' +
        '<disk name="vdb" backup="yes" type="file"/><disk name="sda" backup="no"/></disks></domainbackup>',
    );
  });

  test('comes back as it went in, whatever the paths and names', async () => {
    await fc.assert(
      fc.asyncProperty(text, text, text, async (socketPath, incremental, name) => {
        const disk = { target: name, backup: true, scratchFile: socketPath, exportName: name, exportBitmap: name };
        const job = await parseBackupJob(buildBackupXml({ socketPath, incremental, disks: [disk] }));
        expect(job).toMatchObject({ mode: 'pull', socketPath, disks: [disk] });
        if (incremental.trim() !== '') expect(job.incremental).toBe(incremental);
      }),
      { numRuns: 200 },
    );
  });

  test.each(['\0', '\u0001', '\u001b', '\ud800', '\udc00x', '\uffff'])('refuses %j, which XML cannot carry', (bad) => {
    const build = () => buildBackupXml({ socketPath: `/run/${bad}`, disks: [] });
    expect(build).toThrow(expect.objectContaining({ name: 'LibvirtError', code: 'INVALID_ARG' }));
  });
});

describe('the XML of a checkpoint', () => {
  test('names the disks that get a bitmap and those that do not', () => {
    const disks = [
      { target: 'vda', checkpoint: true },
      { target: 'vdb', checkpoint: false },
    ];
    expect(buildCheckpointXml({ name: 'virtnbdbackup.0', disks })).toBe(
      '<domaincheckpoint><name>virtnbdbackup.0</name><disks>' +
        '<disk name="vda" checkpoint="bitmap"/><disk name="vdb" checkpoint="no"/></disks></domaincheckpoint>',
    );
  });

  test('escapes its name and description', async () => {
    const xml = buildCheckpointXml({ name: ODD, description: ODD, disks: [] });
    const read = await parseCheckpoint(xml.replace('<disks/>', '<creationTime>7</creationTime><disks/>'));
    expect(read).toMatchObject({ name: ODD, description: ODD, creationTime: 7 });
  });

  test('is read with parent, time, disks and sizes', async () => {
    const xml = `<domaincheckpoint><name>b</name><parent><name>a</name></parent><creationTime>1795465595</creationTime>
      <disks><disk name='vda' checkpoint='bitmap' bitmap='b' size='196608'/><disk name='vdb' checkpoint='no'/></disks>
      <domain type='qemu'><name>vm</name><uuid>8dd0e290-23b2-4814-b398-0657525ab75f</uuid></domain></domaincheckpoint>`;
    expect(await parseCheckpoint(xml)).toEqual({
      name: 'b',
      description: null,
      parent: 'a',
      creationTime: 1795465595,
      domainUuid: '8dd0e290-23b2-4814-b398-0657525ab75f',
      disks: [
        { target: 'vda', checkpoint: true, bitmap: 'b', size: 196608 },
        { target: 'vdb', checkpoint: false, bitmap: null, size: null },
      ],
    });
  });

  test.each([
    ['no name', '<domaincheckpoint><creationTime>1</creationTime></domaincheckpoint>'],
    ['no time', '<domaincheckpoint><name>a</name></domaincheckpoint>'],
    ['a time that is no number', '<domaincheckpoint><name>a</name><creationTime>1e9</creationTime></domaincheckpoint>'],
    [
      'a time past what is exact',
      `<domaincheckpoint><name>a</name><creationTime>${'9'.repeat(20)}</creationTime></domaincheckpoint>`,
    ],
    ['another root', '<domain><name>a</name></domain>'],
    ['a DOCTYPE', '<!DOCTYPE a><domaincheckpoint><name>a</name><creationTime>1</creationTime></domaincheckpoint>'],
  ])('is refused with %s', async (_, xml) => {
    await expect(parseCheckpoint(xml)).rejects.toMatchObject({ code: 'BAD_XML' });
  });
});
