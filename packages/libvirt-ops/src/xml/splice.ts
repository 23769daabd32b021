import { escapeXml } from './build.ts';
import type { Range } from './indentation.ts';
import type { SourceElement } from './source-tree.ts';

/** A replacement of `text[start, end)`; an insertion where both are equal. */
export interface Splice extends Range {
  readonly text: string;
}

/** `text[start, end)` with the splices made, which may not overlap. Insertions at one place keep their order. */
export function applySplices(text: string, { start, end }: Range, splices: readonly Splice[]): string {
  let result = '';
  let at = start;
  // An insertion goes before what is removed from its place on; the sort is stable.
  for (const splice of splices.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    result += text.slice(at, splice.start) + splice.text;
    at = splice.end;
  }
  return result + text.slice(at, end);
}

/** @param changes new values, by name; null for an attribute that goes */
export function attributeSplices(source: SourceElement, changes: ReadonlyMap<string, string | null>): Splice[] {
  return [...changes].flatMap(([name, value]) => {
    const known = source.attributes.find((attribute) => attribute.name === name);
    if (known !== undefined)
      return value === null
        ? [{ start: known.start, end: known.end, text: '' }]
        : [{ start: known.valueStart, end: known.valueEnd, text: escapeXml(value) }];
    if (value === null) return [];
    return [{ start: source.attributesEnd, end: source.attributesEnd, text: ` ${name}='${escapeXml(value)}'` }];
  });
}

/** Puts `text` in the place of all character data, before or after the comments among it. */
export function textSplices(source: SourceElement, text: string): Splice[] {
  const [first, ...others] = source.texts;
  if (first === undefined) return [{ start: source.contentStart, end: source.contentStart, text: escapeXml(text) }];
  return [
    { start: first.start, end: first.end, text: escapeXml(text) },
    ...others.map(({ start, end }) => ({ start, end, text: '' })),
  ];
}

/** Gives an element that is one tag, `<name/>`, a start tag and an end tag around what is inserted between both. */
export function openSplices(source: SourceElement, closing: string): { before: Splice; after: Splice } {
  return {
    before: { start: source.attributesEnd, end: source.end, text: '>' },
    after: { start: source.end, end: source.end, text: `${closing}</${source.name}>` },
  };
}
