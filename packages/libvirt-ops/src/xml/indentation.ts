/** The line break and the white space between it and `at`; '' when something else stands before `at` in its line. */
export function indentation(text: string, at: number): string {
  let start = at;
  while (isBlank(text[start - 1])) start -= 1;
  if (start === 0) return lineBreak(text) + text.slice(0, at);
  if (text[start - 1] !== '\n') return '';
  start -= text[start - 2] === '\r' ? 2 : 1;
  return text.slice(start, at);
}

/** The range of an element and, where nothing else stands in its lines, of the line break and white space before it. */
export function withoutIndentation(text: string, { start, end }: Range): Range {
  let next = end;
  while (isBlank(text[next])) next += 1;
  const ownLine = text.startsWith('\n', next) || text.startsWith('\r\n', next) || text.startsWith('</', next);
  return { start: ownLine && start > 0 ? start - indentation(text, start).length : start, end };
}

/** Where the white space at the end of `text[start, end)` begins. */
export function trimmedEnd(text: string, { start, end }: Range): number {
  let at = end;
  while (at > start && (isBlank(text[at - 1]) || text[at - 1] === '\n' || text[at - 1] === '\r')) at -= 1;
  return at;
}

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The document's kind of line break, for its root, before which there need not be one; '' when it is all one line. */
function lineBreak(text: string): string {
  const first = text.indexOf('\n');
  if (first === -1) return '';
  return text[first - 1] === '\r' ? '\r\n' : '\n';
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}
