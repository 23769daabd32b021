import { parseFileName, type SetProblem } from '@virtnbd/backup-set';
import type { StrayFile, UnfinishedRun } from './folder-description.ts';

/** Bytes of each file in the folder, by name. */
export type FileSizes = ReadonlyMap<string, number>;

/** The runs that have not ended: those with an intent, and those of which only partial files tell. */
export function unfinishedRuns(problems: readonly SetProblem[], sizes: FileSizes): UnfinishedRun[] {
  const runs = new Map<string, Set<string>>();
  const put = (id: string, file: string): void => {
    runs.set(id, (runs.get(id) ?? new Set()).add(file));
  };
  for (const { code, point, files } of problems) {
    if (code === 'UNFINISHED' && point !== undefined) for (const file of files) put(point, file);
  }
  const [only] = runs.size === 1 ? runs.keys() : [];
  for (const name of sizes.keys()) {
    const parsed = parseFileName(name);
    if (parsed?.partial !== true) continue;
    const ident = 'level' in parsed && 'ident' in parsed ? (parsed.ident ?? parsed.level) : identOf(parsed);
    put(runs.has(ident) ? ident : (only ?? ident), name);
  }
  return [...runs].map(([id, names]) => {
    const files = [...names].sort().map((name) => ({ name, fileBytes: sizes.get(name) ?? 0 }));
    return { id, state: 'partial', files, fileBytes: files.reduce((sum, file) => sum + file.fileBytes, 0) };
  });
}

function identOf(parsed: object): string {
  return 'ident' in parsed && typeof parsed.ident === 'string' ? parsed.ident : 'unknown';
}

/** Files that count for no point. */
export function strayFiles(problems: readonly SetProblem[], sizes: FileSizes): StrayFile[] {
  return problems.flatMap(({ code, point, files, message }) => {
    if (point !== undefined || code === 'UNFINISHED') return [];
    const state = code === 'FOREIGN' || code === 'AMBIGUOUS' ? 'foreign' : code === 'DAMAGED' ? 'damaged' : 'orphan';
    return files.map((name) => ({ name, fileBytes: sizes.get(name) ?? 0, state, reason: message }) as const);
  });
}
