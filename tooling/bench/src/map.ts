// `node src/map.ts [--small] [--rounds N] [NAME…]`: virtnbdmap beside the established nbdkit plugin and nbdkit's file plugin.
import { parseArgs } from 'node:util';
import { HEAD, type MapRow, type MapScale, random, sequential, start } from './map-measurements.ts';
import { markdown } from './program.ts';

const all: Record<string, (scale: MapScale) => Promise<MapRow[]>> = { random, sequential, start };

const MIB = 1024 * 1024;
const full: MapScale = {
  diskBytes: 1024 * MIB,
  randomReads: 20_000,
  increments: 20,
  frames: [1000, 1_000_000],
  rounds: 3,
};
const small: MapScale = { diskBytes: 32 * MIB, randomReads: 200, increments: 2, frames: [10, 1000], rounds: 1 };

const { values, positionals } = parseArgs({
  options: { small: { type: 'boolean' }, rounds: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !(name in all));
if (unknown !== undefined) throw new Error(`no measurement ${unknown}; there are ${Object.keys(all).join(', ')}`);
const chosen = values.small === true ? small : full;
const scale = values.rounds === undefined ? chosen : { ...chosen, rounds: Number(values.rounds) };
const rows: MapRow[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(all)) {
  for (const row of (await all[name]?.(scale)) ?? []) {
    process.stderr.write(`${row.join(' | ')}\n`);
    rows.push(row);
  }
}
process.stdout.write(markdown(HEAD, rows));
