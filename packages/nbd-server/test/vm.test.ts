import { join } from 'node:path';
import { requires, TestLibvirt, waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { OverlaySource } from '../src/index.ts';
import { NbdServer } from '../src/server.ts';
import { MemorySource, pattern } from './memory-source.ts';
import { MemoryOverlay } from './overlay-files.ts';

const MIB = 1 << 20;

describe.skipIf(requires('libvirt').skip)('a VM', () => {
  test('has the server as its disk, and writes to the overlay', async () => {
    await using libvirt = await TestLibvirt.start();
    const base = new MemorySource(pattern(16 * MIB));
    const overlay = await OverlaySource.create(base, new MemoryOverlay());
    const path = join(libvirt.folder, 'disk.sock');
    // qemu runs as another user here.
    await using server = await NbdServer.listen({ path, mode: 0o666 }, { exports: [{ name: 'vda', source: overlay }] });
    const xmlExtra = `<disk type='network' device='disk'><driver name='qemu' type='raw' discard='unmap'/>
<source protocol='nbd' name='vda'><host transport='unix' socket='${path}'/></source>
<target dev='vda' bus='virtio'/></disk>`;
    const vm = await libvirt.createVm({ disks: [], xmlExtra });
    for (const command of ['write -P 0x5a 1M 64k', 'write -z 2M 4k', 'flush']) {
      const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "${command}"`;
      await vm.monitor('human-monitor-command', { 'command-line': line });
    }
    const expected = pattern(16 * MIB)
      .fill(0x5a, MIB, MIB + 65_536)
      .fill(0, 2 * MIB, 2 * MIB + 4096);
    const found = Buffer.alloc(16 * MIB);
    await overlay.read(0, found);
    expect(found.equals(expected)).toBe(true);
    expect(base.bytes.equals(pattern(16 * MIB))).toBe(true);
    await vm.destroy();
    await waitFor(() => server.connections.length === 0, { what: "qemu's end of the connection" });
  });
});
