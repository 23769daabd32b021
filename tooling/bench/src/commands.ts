// `node src/commands.ts [--small] [--rounds N] [NAME…]`: our commands beside the established ones and libnbd's, whole processes.
import { parseArgs } from 'node:util';
import { type Comparison, compared, HEAD } from './commands-compare.ts';
import { copies, help, increments, memory, restores, type Scale } from './commands-measurements.ts';
import { markdown } from './program.ts';

const all: Record<string, (scale: Scale) => AsyncGenerator<Comparison>> = {
  copies,
  restores,
  increments,
  memory,
  help,
};

const full = { dataMiB: 2048, fragments: 8192, increments: 10, extents: 1_000_000, sizes: ['1G', '16T'], rounds: 3 };
const small = { dataMiB: 16, fragments: 32, increments: 2, extents: 2000, sizes: ['1G'], rounds: 1 };

const { values, positionals } = parseArgs({
  options: { small: { type: 'boolean' }, rounds: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !(name in all));
if (unknown !== undefined) throw new Error(`no measurement ${unknown}; there are ${Object.keys(all).join(', ')}`);
const scale: Scale = values.small === true ? small : full;
const rounds = Number(values.rounds ?? scale.rounds);
const rows: string[][] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(all)) {
  for await (const comparison of all[name]?.(scale) ?? []) {
    const lines = await compared(comparison, rounds);
    for (const line of lines) process.stderr.write(`${line.join('  ')}\n`);
    rows.push(...lines);
  }
}
process.stdout.write(markdown(HEAD, rows));
