import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BackupSetError,
  describeCheckpoint,
  readCheckpointFolder,
  readCheckpointList,
  writeCheckpointList,
  writeCheckpointXml,
} from '../src/index.ts';
import { checkpointXml, domain, fixtures, host, tempFolder } from './support.ts';

const codeOf = (xml: string): string => {
  try {
    describeCheckpoint(xml, 'x.xml');
    return 'accepted';
  } catch (error) {
    return error instanceof BackupSetError ? error.code : String(error);
  }
};

describe('DOMAIN.cpt', () => {
  test('it is written as the established tool writes it', async () => {
    const folder = await tempFolder();
    await writeCheckpointList(host, folder, 'barvm', ['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2']);
    const theirs = join(fixtures, 'plain-full-inc-inc-diff', 'barvm.cpt');
    expect(await readFile(join(folder, 'barvm.cpt'), 'utf8')).toBe((await readFile(theirs, 'utf8')).trim());
  });

  test('an absent list is empty', async () => {
    expect(await readCheckpointList(host, await tempFolder(), 'barvm')).toEqual([]);
  });

  test.each(['', '{}', '[1]', '["a"', '[["a"]]'])('%j is refused', async (text) => {
    const folder = await tempFolder();
    await writeFile(join(folder, 'a.cpt'), text);
    await expect(readCheckpointList(host, folder, 'a')).rejects.toMatchObject({ code: 'BAD_CHECKPOINT_FILE' });
  });

  test('a domain name cannot lead out of the folder', async () => {
    await expect(readCheckpointList(host, '/tmp', '../etc/x')).rejects.toMatchObject({ code: 'BAD_NAME' });
  });
});

describe('checkpoint XML', () => {
  test('libvirt’s is understood, the name of the domain inside left aside', async () => {
    const path = join(fixtures, 'plain-full-inc-inc-diff/checkpoints/virtnbdbackup.1.xml');
    expect(describeCheckpoint(await readFile(path, 'utf8'), path)).toEqual({
      name: 'virtnbdbackup.1',
      parent: 'virtnbdbackup.0',
      creationTime: 1795421517,
      domainUuid: '4cddffbf-aab2-40d6-87f2-d9b20e6f0c07',
    });
  });

  test('comments, quotes and entities do not mislead', () => {
    const xml =
      `<?xml version="1.0"?><!-- <name>c</name> --><domaincheckpoint><description a="<name>x</name>>"/>` +
      `<name>a&amp;b&#x41;</name><creationTime>5</creationTime></domaincheckpoint>\n`;
    expect(describeCheckpoint(xml, 'x')).toMatchObject({ name: 'a&bA', creationTime: 5, parent: null });
  });

  test.each([
    '',
    '<domaincheckpoint/>',
    '<domaincheckpoint><name></name></domaincheckpoint>',
    '<domaincheckpoint><name>a</name>',
    '<domaincheckpoint><name>a</domaincheckpoint></name>',
    '<!DOCTYPE x><domaincheckpoint><name>a</name></domaincheckpoint>',
    '<domaincheckpoint><name>&x;</name></domaincheckpoint>',
    '<domaincheckpoint><name>&#x110000;</name></domaincheckpoint>',
    '<domaincheckpoint><![CDATA[<name>a</name>]]></domaincheckpoint>',
    '<domaincheckpoint><name>a</name><creationTime>-5</creationTime></domaincheckpoint>',
    '<domaincheckpoint><name>a</name></domaincheckpoint>rest',
    '<domainsnapshot><name>a</name></domainsnapshot>',
    `${'<a>'.repeat(300)}${'</a>'.repeat(300)}`,
    '<'.repeat(1_000_000),
    '<?'.repeat(1_000_000),
    '<!--'.repeat(500_000),
    `<a ${'"'.repeat(1_000_001)}`,
  ])('%.60s is refused', (xml) => {
    expect(codeOf(xml)).toBe('BAD_CHECKPOINT_FILE');
  });

  test('no text makes it do anything but accept or refuse', () => {
    const piece = fc.constantFrom(
      '<',
      '>',
      '/',
      'name',
      'domaincheckpoint',
      '&',
      ';',
      '#x41',
      '"',
      "'",
      ' ',
      '<!--',
      '-->',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        expect(['accepted', 'BAD_CHECKPOINT_FILE']).toContain(codeOf(pieces.join('')));
      }),
    );
  });

  test('the folder is read by number, and only what is a checkpoint of ours', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'checkpoints');
    for (const number of [10, 9, 0]) {
      const name = `virtnbdbackup.${number}`;
      await writeCheckpointXml(host, path, name, checkpointXml(name, number, null));
    }
    await writeFile(join(path, 'notes.txt'), 'x');
    await writeFile(join(path, 'foreign.xml'), 'x');
    await writeFile(join(path, 'virtnbdbackup.1.xml'), 'damaged');
    await writeFile(join(path, 'virtnbdbackup.2.xml'), checkpointXml('virtnbdbackup.3', 1, null));
    const errors: string[] = [];
    const found = await readCheckpointFolder(host, path, ({ file }) => errors.push(file ?? ''));
    expect(found.map(({ name, creationTime, domainUuid }) => [name, creationTime, domainUuid])).toEqual([
      ['virtnbdbackup.0', 0, domain.uuid],
      ['virtnbdbackup.9', 9, domain.uuid],
      ['virtnbdbackup.10', 10, domain.uuid],
    ]);
    expect(errors).toEqual(['virtnbdbackup.1.xml', 'virtnbdbackup.2.xml']);
  });

  test('nothing is written under a name that is not a checkpoint of ours', async () => {
    const folder = await tempFolder();
    await expect(writeCheckpointXml(host, folder, '../x', '<x/>')).rejects.toMatchObject({ code: 'BAD_NAME' });
  });
});
