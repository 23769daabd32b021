import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Channel } from '../src/channel.ts';

/** A stream that notes the length of each hand-over to the system. */
function recorder(): { stream: Duplex; handed: number[] } {
  const handed: number[] = [];
  const stream = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, callback) {
      handed.push(bytes.byteLength);
      callback();
    },
    writev(chunks, callback) {
      handed.push(chunks.reduce((sum, { chunk }) => sum + chunk.byteLength, 0));
      callback();
    },
  });
  return { stream, handed };
}

describe('Channel.send', () => {
  test('small messages of one turn leave together, later ones by themselves', async () => {
    const { stream, handed } = recorder();
    const channel = new Channel(stream);
    await Promise.all([10, 20, 30].map((length) => channel.send(Buffer.alloc(length))));
    await channel.send(Buffer.alloc(5));
    expect(handed).toEqual([60, 5]);
  });

  test('a large message does not wait for others', () => {
    const { stream, handed } = recorder();
    void new Channel(stream).send(Buffer.alloc(1024 * 1024));
    expect(handed).toEqual([1024 * 1024]);
  });

  test('what was gathered leaves before the end', async () => {
    const { stream, handed } = recorder();
    const channel = new Channel(stream);
    const sent = channel.send(Buffer.alloc(10));
    channel.end();
    await sent;
    expect(handed).toEqual([10]);
  });

  test('rejects what was gathered when the connection ends first', async () => {
    const { stream } = recorder();
    const channel = new Channel(stream);
    const sent = channel.send(Buffer.alloc(10));
    channel.destroy();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_STREAM_DESTROYED' });
  });
});
