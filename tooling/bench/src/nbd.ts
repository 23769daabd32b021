// `node src/nbd.ts [--small] [NAME…]`: our NBD client beside nbdcopy, nbdinfo and qemu-img bench, on the same server.
import { parseArgs } from 'node:util';
import { compare, type Row, table } from './nbd-compare.ts';
import { copies, extents, latency, type Measurement, reads, tls } from './nbd-measurements.ts';

const all: Record<string, (scale: Scale) => Promise<Measurement[]>> = { reads, copies, latency, extents, tls };

/** How much work each measurement is. */
export interface Scale {
  diskBytes: number;
  smallReads: number;
  /** Bytes of the fragmented disk; its extents are 8 KiB on average. */
  fragmentedBytes: number;
  rounds: number;
}

const GIB = 1024 ** 3;
const full: Scale = { diskBytes: 2 * GIB, smallReads: 50_000, fragmentedBytes: 8 * GIB, rounds: 5 };
const small: Scale = { diskBytes: GIB / 32, smallReads: 1000, fragmentedBytes: GIB / 8, rounds: 1 };

const { values, positionals } = parseArgs({ options: { small: { type: 'boolean' } }, allowPositionals: true });
const unknown = positionals.find((name) => !(name in all));
if (unknown !== undefined) throw new Error(`no measurement ${unknown}; there are ${Object.keys(all).join(', ')}`);
const scale = values.small === true ? small : full;
const names = positionals.length > 0 ? positionals : Object.keys(all);
const rows: Row[] = [];
for (const name of names) {
  for (const measurement of (await all[name]?.(scale)) ?? []) {
    const row = await compare(measurement, scale.rounds);
    process.stderr.write(`${row.what}: ${row.ratio} × ${row.counterpart} (${row.theirs}; ours ${row.ours})\n`);
    rows.push(row);
    await measurement.end?.();
  }
}
process.stdout.write(table(rows));
