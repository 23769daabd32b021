import { formatBytes } from '@virtnbd/cli-kit';
import { type DiffReport, type DiskDiff, visibleText } from '@virtnbd/inspect-engine';
import { count, type Paint } from './style.ts';

/** Where two points differ, as lines for a terminal: a range a line, in bytes. */
export function* diffLines(report: DiffReport, paint: Paint): Generator<string> {
  for (const disk of report.disks) {
    yield paint(summaryOf(disk, report), 'bold');
    for (const note of disk.notes) yield paint(`  ${visibleText(note)}`, 'yellow');
    for (const { start, length } of disk.ranges) {
      yield `  ${String(start).padStart(16)}  ${String(length).padStart(16)}  ${formatBytes(length)}`;
    }
  }
}

function summaryOf(
  { disk, bytes, zeroedBytes, rangeCount, fromSize, toSize, ...diff }: DiskDiff,
  report: DiffReport,
): string {
  const name = visibleText(disk);
  if (diff.in !== 'both') return `${name}: only at ${visibleText(diff.in === 'from' ? report.from : report.to)}`;
  const sizes =
    fromSize === toSize ? '' : `, ${formatBytes(fromSize ?? 0)} before and ${formatBytes(toSize ?? 0)} after`;
  if (rangeCount === 0) return `${name}: equal${sizes}`;
  const zeroed = zeroedBytes === 0 ? '' : `, of them ${formatBytes(zeroedBytes)} zero at ${visibleText(report.to)}`;
  const verb = report.content ? (rangeCount === 1 ? 'differs' : 'differ') : 'may differ';
  return `${name}: ${formatBytes(bytes)} in ${count(rangeCount, 'range')} ${verb}${zeroed}${sizes} (start, length)`;
}
