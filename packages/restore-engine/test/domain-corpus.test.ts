import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EditableXml, parseDomain } from '@virtnbd/libvirt-ops';
import { requires, TestLibvirt } from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { adjustDomain } from '../src/domain/adjust.ts';
import type { RestoredDisk } from '../src/domain/adjustment.ts';
import { CORPUS } from './domain-corpus.ts';

const skip = requires('libvirt', 'swtpm').skip;
let libvirt: TestLibvirt;
beforeAll(async () => {
  if (!skip) libvirt = await TestLibvirt.start();
});
afterAll(() => libvirt?.stop());

/** Defines the text, and gives what libvirt made of it. */
async function define(xml: string): Promise<string> {
  const path = join(libvirt.workFolder, 'domain.xml');
  await writeFile(path, xml);
  const { name } = await parseDomain(xml);
  const [, text = ''] = await libvirt.session.run([
    ['define', path],
    ['dumpxml', '--inactive', name],
  ]);
  defined.add(name);
  return text;
}

const defined = new Set<string>();
afterEach(async () => {
  await libvirt?.session.run([...defined].map((name) => ['undefine', name, '--nvram']));
  defined.clear();
});

function restored(disks: readonly string[]): Map<string, RestoredDisk> {
  return new Map(
    disks.map((disk): [string, RestoredDisk] => [disk, { kind: 'file', path: `/r/${disk} &.qcow2`, format: 'qcow2' }]),
  );
}

/** Takes away what an adjustment may change, so that the rest can be compared. */
function untouched(xml: string): string {
  const document = EditableXml.parse(xml, 'domain', 'The domain XML');
  const { root } = document;
  for (const path of [['name'], ['uuid'], ['genid']]) root.at(...path)?.remove();
  for (const entry of root.at('sysinfo', 'system')?.all('entry') ?? [])
    if (entry.attribute('name') === 'uuid') entry.remove();
  for (const kind of ['loader', 'nvram', 'kernel', 'initrd'])
    for (const each of root.child('os')?.all(kind) ?? []) each.remove();
  for (const disk of root.child('devices')?.all('disk') ?? []) {
    disk.remove();
  }
  for (const label of root.all('seclabel')) if (label.attribute('type') === 'dynamic') label.remove();
  for (const channel of root.child('devices')?.all('channel') ?? [])
    if (channel.child('source')?.attribute('path')?.includes('/channel/target/')) channel.child('source')?.remove();
  return document.toString();
}

describe.skipIf(skip)('the adjusted configuration of', () => {
  test.each(Object.entries(CORPUS))('%s defines beside the original, and differs in nothing else', async (_, vm) => {
    const original = await define(await define(vm.xml)); // libvirt orders some devices only when it sees them again
    const adjusted = adjustDomain(original, { disks: restored(vm.disks) });
    const defined = await define(adjusted.xml);
    const { name, disks } = await parseDomain(defined);
    expect(name).toBe(adjusted.name);
    const found = new Map(disks.map(({ target, source, format }) => [target, `${source} ${format}`]));
    expect(found).toEqual(new Map(vm.disks.map((target) => [target, `/r/${target} &.qcow2 qcow2`])));
    expect(
      disks.filter(({ encrypted, backingChain, device }) => encrypted || backingChain || device !== 'disk'),
    ).toEqual([]);
    expect(untouched(defined)).toBe(untouched(original));
    expect(untouched(adjusted.xml)).toBe(untouched(original));
  });

  test.each(Object.entries(CORPUS))('%s, as it was written by hand, defines as well', async (_, vm) => {
    const adjusted = adjustDomain(vm.xml, { disks: restored(vm.disks) });
    expect((await parseDomain(await define(adjusted.xml))).name).toBe(adjusted.name);
  });
});
