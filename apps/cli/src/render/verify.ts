import { formatBytes } from '@virtnbd/cli-kit';
import { type ByteRange, type Damage, type VerifyReport, visibleText } from '@virtnbd/inspect-engine';
import { type Column, table } from './columns.ts';
import { count, type Paint, verdictColours } from './style.ts';

/** Ranges shown of one file; --json has them all. */
const SHOWN = 20;

const pointColumns: readonly Column[] = [
  { title: 'RESTORE POINT', align: 'left', drop: 0 },
  { title: 'VERDICT', align: 'left', drop: 0 },
];

/** What a verification found, as lines for a terminal. */
export function* verifyLines(report: VerifyReport, width: number, paint: Paint): Generator<string> {
  const rows = report.points.flatMap(({ id, verdict, reasons }) => [
    [{ text: visibleText(id) }, { text: words[verdict], colour: verdictColours[verdict] }],
    ...reasons.map((reason) => ({ prefix: '    ', note: visibleText(reason), colour: 'dim' as const })),
  ]);
  yield* table(pointColumns, rows, width, paint);
  for (const damage of report.damage) {
    yield '';
    yield* damageLines(damage, paint);
  }
  const loose = report.problems.filter(({ severity, point }) => severity === 'error' && point === undefined);
  if (report.until === null && loose.length > 0) {
    yield '';
    for (const { message } of loose) yield paint(visibleText(message), 'red');
  }
  yield '';
  yield `${count(report.files.length, 'file')}, ${formatBytes(report.bytes)}: ${paint(words[report.verdict], verdictColours[report.verdict])}`;
}

const words = { ok: 'ok', 'not-verifiable': 'not verifiable', damaged: 'damaged' } as const;

function* damageLines(damage: Damage, paint: Paint): Generator<string> {
  yield paint(`${visibleText(damage.file)}: damaged`, 'red');
  yield `  ${visibleText(damage.message)}`;
  yield* rangeLines('in the file', damage.fileRanges);
  if (damage.disk !== null) {
    if (damage.located) yield* rangeLines(`on disk ${visibleText(damage.disk)}`, damage.diskRanges);
    else yield `  on disk ${visibleText(damage.disk)}: where is not known, so all of it counts`;
    if (damage.unusable) yield '  a restore refuses the file as a whole';
  }
  yield `  spoils: ${visibleText(damage.spoils.join(', ')) || 'no restore point'}`;
  if (damage.hidden.length > 0)
    yield `  not seen in: ${visibleText(damage.hidden.join(', '))} (newer data lies over it)`;
}

function* rangeLines(where: string, ranges: Iterable<ByteRange>): Generator<string> {
  let shown = 0;
  let more = 0;
  for (const { start, length } of ranges) {
    if (shown++ < SHOWN) yield `  ${where}: bytes ${start} to ${start + length} (${formatBytes(length)})`;
    else more++;
  }
  if (more > 0) yield `  ${where}: ${count(more, 'more range')}; --json has them all`;
}
