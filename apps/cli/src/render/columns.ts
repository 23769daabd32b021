import type { Colour, Paint } from './style.ts';

// Letters that take two columns in a terminal.
const WIDE = /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u;

/** Columns that text takes in a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += /\p{Mn}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** At most `width` columns of the text; an ellipsis stands for the rest. */
export function cut(text: string, width: number): string {
  if (width === Number.POSITIVE_INFINITY || widthOf(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += widthOf(character);
    if (used > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Lines of at most `width` columns, broken at spaces where there are any. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => cut(each, Math.max(8, width)));
}

export interface Cell {
  text: string;
  colour?: Colour;
}

export interface Column {
  title: string;
  align: 'left' | 'right';
  /** Narrow terminals go without the columns of the highest number first. 0: it always stays. */
  drop: number;
}

/** A row of cells, or text of its own below one, wrapped, each line behind the same prefix. */
export type Row = readonly Cell[] | { prefix: string; note: string; colour?: Colour };

const GAP = 2;

/** Lays out rows in columns that fit the width, with a head. */
export function table(columns: readonly Column[], rows: readonly Row[], width: number, paint: Paint): string[] {
  const widths = columns.map((column, index) =>
    rows.reduce(
      (most, row) => Math.max(most, 'note' in row ? 0 : widthOf(row[index]?.text ?? '')),
      widthOf(column.title),
    ),
  );
  const shown = columnsThatFit(columns, widths, width);
  const line = (cells: readonly Cell[]): string => {
    let rest = width;
    const parts = shown.map((index, place) => {
      const cell = cells[index] ?? { text: '' };
      const size = Math.min(widths[index] ?? 0, rest);
      rest -= size + GAP;
      const text = cut(cell.text, size);
      const space = ' '.repeat(Math.max(0, size - widthOf(text)));
      const painted = cell.colour === undefined ? text : paint(text, cell.colour);
      if (columns[index]?.align === 'right') return space + painted;
      return place === shown.length - 1 ? painted : painted + space;
    });
    return parts.join(' '.repeat(GAP)).trimEnd();
  };
  const head = line(columns.map(({ title }) => ({ text: title, colour: 'dim' })));
  return [
    head,
    ...rows.flatMap((row) => {
      if (!('note' in row)) return [line(row)];
      const { prefix, note, colour } = row;
      return wrap(note, width - widthOf(prefix)).map((text) => prefix + (colour ? paint(text, colour) : text));
    }),
  ];
}

function columnsThatFit(columns: readonly Column[], widths: readonly number[], width: number): number[] {
  let shown = columns.map((_, index) => index);
  const total = (): number => shown.reduce((sum, index) => sum + (widths[index] ?? 0) + GAP, -GAP);
  while (total() > width) {
    const next = shown.reduce((worst, index) => Math.max(worst, columns[index]?.drop ?? 0), 0);
    if (next === 0) break;
    shown = shown.filter((index) => columns[index]?.drop !== next);
  }
  return shown;
}
