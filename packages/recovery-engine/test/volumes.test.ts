import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB, makePartitions } from '@virtnbd/sample-sets';
import { type Random, requires, run, tempFolder, withSeed } from '@virtnbd/test-kit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ReadableDisk } from '../src/volumes/byte-reader.ts';
import { type DiskLayout, readLayout } from '../src/volumes/layout.ts';

function diskOf(bytes: Uint8Array): ReadableDisk {
  return {
    size: bytes.length,
    async read(offset, buffer) {
      buffer.set(bytes.subarray(offset, offset + buffer.length));
    },
  };
}

const layoutOfFile = async (path: string): Promise<DiskLayout> => await readLayout(diskOf(await readFile(path)));

function partitionsIn({ volumes }: DiskLayout) {
  return volumes.map(({ partition, start, length }) => ({ number: partition?.number, start, length }));
}

describe.skipIf(requires('sfdisk').skip)('partition tables that sfdisk makes', () => {
  test('are read as sfdisk itself reads them', async () => {
    await withSeed(async (random) => {
      await using folder = await tempFolder();
      for (let round = 0; round < 5; round++) {
        const path = join(folder.path, `${round}.raw`);
        const partitions = await makePartitions(path, 64 * MIB, randomScript(random));
        // An extended partition is only where the logical ones lie.
        const expected = (await hasExtended(path)) ? partitions.filter(({ number }) => number !== 4) : partitions;
        const found = partitionsIn(await layoutOfFile(path));
        expect(found.sort((a, b) => (a.number ?? 0) - (b.number ?? 0))).toEqual(expected);
      }
    });
  });

  test('GPT: the copy at the end stands in for a damaged table, and this is said', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'disk.raw');
    const partitions = await makePartitions(path, 8 * MIB, 'label: gpt\nsize=2M, name="root é"\nsize=1M');
    const bytes = new Uint8Array(await readFile(path));
    bytes.fill(0xff, 600, 1500);
    const layout = await readLayout(diskOf(bytes));
    expect(partitionsIn(layout)).toEqual(partitions);
    expect(layout.notes).toHaveLength(1);
    expect(layout.volumes[0]?.partition?.name).toBe('root é');
  });
});

function randomScript(random: Random): string {
  if (random.boolean()) {
    const count = random.integer(1, 9);
    const lines = Array.from({ length: count }, () => `${random.integer(1, 100)}: size=${random.integer(64, 6144)}K`);
    const numbers = new Set<string>();
    const once = lines.filter((line) => {
      const [number = ''] = line.split(':');
      return !numbers.has(number) && numbers.add(number);
    });
    return `label: gpt\n${once.join('\n')}\n`;
  }
  const primaries = Array.from({ length: random.integer(1, 3) }, () => `size=${random.integer(64, 6144)}K, type=83`);
  if (random.boolean()) return `label: dos\n${primaries.join('\n')}\n`;
  const logical = Array.from(
    { length: random.integer(1, 6) },
    (_, index) => `${5 + index}: size=${random.integer(64, 3000)}K`,
  );
  return `label: dos\n${primaries.join('\n')}\n4: size=36M, type=5\n${logical.join('\n')}\n`;
}

async function hasExtended(path: string): Promise<boolean> {
  return (await run('sfdisk', ['--dump', path])).stdout.includes('type=5');
}

/** Runs a program that sees no mounts: mkfs.btrfs asks after each, and fails of one that another test is just ending. */
async function withoutMounts(program: string, args: string[]): Promise<void> {
  const script = 'mount --bind /dev/null /proc/$$/mounts && exec "$@"';
  await run('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', program, ...args]);
}

describe('what a disk holds', () => {
  const makers: [type: string, size: number, program: string, args: string[]][] = [
    ['ext4', 8 * MIB, 'mkfs.ext4', ['-q', '-L', 'label']],
    ['ext3', 8 * MIB, 'mkfs.ext3', ['-q', '-L', 'label']],
    ['ext2', 8 * MIB, 'mkfs.ext2', ['-q', '-L', 'label']],
    ['xfs', 320 * MIB, 'mkfs.xfs', ['-q', '-L', 'label']],
    ['btrfs', 128 * MIB, 'mkfs.btrfs', ['-q', '-L', 'label']],
    ['vfat', 8 * MIB, 'mkfs.vfat', ['-n', 'LABEL']],
    ['vfat', 64 * MIB, 'mkfs.vfat', ['-F', '32', '-n', 'LABEL']],
    ['swap', 8 * MIB, 'mkswap', []],
  ];
  for (const [type, size, program, args] of makers) {
    test.skipIf(requires(program).skip)(`${type} of ${size / MIB} MiB is known by its mark`, async () => {
      await using folder = await tempFolder();
      const path = join(folder.path, 'disk.raw');
      await writeFile(path, '');
      await run('truncate', ['-s', String(size), path]);
      await withoutMounts(program, [...args, path]);
      const { volumes } = await layoutOfFile(path);
      expect(volumes).toMatchObject([{ partition: null, content: { type } }]);
      if (type !== 'swap') expect(volumes[0]?.content.label.toLowerCase()).toBe('label');
    });
  }

  test('an old mark from before the disk was partitioned is not taken for the disk', async () => {
    await using folder = await tempFolder();
    for (const label of ['gpt', 'dos']) {
      const path = join(folder.path, `${label}.raw`);
      await makePartitions(path, 8 * MIB, `label: ${label}\nsize=2M`);
      const bytes = new Uint8Array(await readFile(path));
      bytes.set(Buffer.from('_BHRfS_M'), 65_600);
      expect(partitionsIn(await readLayout(diskOf(bytes)))).toMatchObject([{ number: 1 }]);
    }
  });

  test('whatever the bytes are, it is an answer, within the disk', async () => {
    const marks = ['EFI PART', 'LABELONE', ' LVM2 x[5A%r0N*>', 'XFSB', '\x55\xaa'].map((text) =>
      Buffer.from(text, 'latin1'),
    );
    const places = [0, 446, 510, 512, 536, 1024, 4096, 16_384];
    const change = fc.tuple(
      fc.constantFrom(...places),
      fc.oneof(fc.constantFrom(...marks), fc.uint8Array({ maxLength: 64 })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 12 }),
        fc.integer({ min: 0, max: 40_000 }),
        async (changes, size) => {
          const bytes = new Uint8Array(size);
          for (const [place, part] of changes)
            bytes.set(part.subarray(0, Math.max(0, size - place)), Math.min(place, size));
          const { volumes } = await readLayout(diskOf(bytes));
          for (const { start, length } of volumes) expect(start + length).toBeLessThanOrEqual(size);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a disk that cannot be read is not taken for an empty one', async () => {
    const broken: ReadableDisk = { size: MIB, read: () => Promise.reject(new Error('damaged')) };
    await expect(readLayout(broken)).rejects.toThrow('damaged');
  });
});
