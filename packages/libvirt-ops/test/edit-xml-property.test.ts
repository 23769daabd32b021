import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type EditableElement, EditableXml } from '../src/index.ts';
import type { XmlElement } from '../src/xml/element.ts';
import { parseXml } from '../src/xml/parse.ts';

const quote = fc.constantFrom('"', "'");
const space = fc.constantFrom(' ', '  ', '\n    ', '\t');
const plain = fc.stringMatching(/^[a-zé🚀 .:/-]{0,8}$/u);
const escaped = fc.array(fc.oneof(plain, fc.constantFrom('&lt;', '&amp;', '&#65;', '&#x1F680;', '&quot;', '>')));
const name = fc.constantFrom('disk', 'source', 'p:arg', 'constructor', 'a.b-c');

const attributes = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'p:d'), escaped, quote, space), { selector: ([key]) => key })
  .map((list) => list.map(([key, value, mark, gap]) => `${gap}${key}=${mark}${value.join('')}${mark}`).join(''));

/** What stands between elements, and is nobody's business. */
const between = fc.oneof(
  fc.constantFrom('\n', '\n  ', '\n\t', ' ', '', '<!-- <disk/> -->', '<?p <disk/> ?>', '<![CDATA[<disk> & ]]>'),
  escaped.map((pieces) => pieces.join('').replace(/"/g, '')),
);

const { content } = fc.letrec<{ content: string; element: string }>((tie) => ({
  element: fc.oneof(
    { maxDepth: 4 },
    fc.tuple(name, attributes, fc.constantFrom('', ' ')).map(([tag, list, gap]) => `<${tag}${list}${gap}/>`),
    fc.tuple(name, attributes, tie('content')).map(([tag, list, inside]) => `<${tag}${list}>${inside}</${tag} >`),
  ),
  content: fc
    .array(fc.tuple(between, tie('element')), { maxLength: 4 })
    .chain((list) => between.map((last) => list.map(([gap, element]) => gap + element).join('') + last)),
}));

const document = content.map((inside) => `<?xml version='1.0'?>\n<domain xmlns:p='urn:p'>${inside}</domain>\n<!-- -->`);

const edit = fc.record({
  kind: fc.constantFrom('set', 'unset', 'text', 'remove', 'insert', 'before', 'after'),
  target: fc.nat(),
  key: fc.constantFrom('a', 'b', 'p:d', 'new'),
  value: fc.constantFrom('', 'x', `<&>"'\n`, 'é🚀'),
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

const parse = (text: string): EditableXml => EditableXml.parse(text, 'domain', 'The domain XML');

interface Tree {
  readonly name: string;
  readonly attributes: readonly (readonly [string, string | undefined])[];
  readonly text: string;
  readonly children: readonly Tree[];
}

function tree(element: EditableElement | XmlElement): Tree {
  return {
    name: element.name,
    attributes: ['a', 'b', 'c', 'p:d', 'new', 'xmlns:p'].map((key) => [key, element.attribute(key)]),
    text: element.text.replace(/\s/g, ''), // white space comes and goes with the lines of elements
    children: element.children.map(tree),
  };
}

/** The elements in document order, each with its parent. */
function elements(of: EditableElement): { element: EditableElement; parent: EditableElement | null }[] {
  return [
    { element: of, parent: null },
    ...of.children.flatMap((child) =>
      elements(child).map((entry) => ({ ...entry, parent: entry.element === child ? of : entry.parent })),
    ),
  ];
}

/** Makes the edit if the element takes it, and tells which one it was. */
function apply(root: EditableElement, { kind, target, key, value }: Edit): EditableElement | null {
  const all = elements(root);
  const { element, parent } = all[target % all.length] ?? { element: root, parent: null };
  if (kind === 'set') element.setAttribute(key, value);
  else if (kind === 'unset') element.removeAttribute(key);
  else if (kind === 'insert' && element.text.trim() === '') element.insert({ name: 'new', attributes: { a: value } });
  else if (kind === 'text' && element.children.length === 0) return setText(element, value);
  else if (parent === null) return null;
  else if (kind === 'remove') element.remove();
  else if (kind === 'before') parent.insert({ name: 'new', text: value }, { before: element });
  else if (kind === 'after') parent.insert({ name: 'new', children: [{ name: 'x' }] }, { after: element });
  else return null;
  return element;
}

/** An element whose children were removed takes no text; neither takes elements after it got one. */
function setText(element: EditableElement, value: string): EditableElement | null {
  try {
    element.setText(value);
    return element;
  } catch {
    return null;
  }
}

test('a document without edits is the text that was read, and tells what the reading parser tells', async () => {
  await fc.assert(
    fc.asyncProperty(document, async (text) => {
      const parsed = parse(text);
      expect(parsed.toString()).toBe(text);
      expect(tree(parsed.root)).toEqual(tree(await parseXml(text, 'domain', 'The domain XML')));
    }),
  );
});

test('whatever is edited, reading the new text tells what the document told', async () => {
  await fc.assert(
    fc.asyncProperty(document, fc.array(edit, { maxLength: 8 }), async (text, edits) => {
      const edited = parse(text);
      for (const one of edits) {
        try {
          apply(edited.root, one);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_ARG', message: expect.stringContaining('was given a text') });
        }
      }
      const written = edited.toString();
      expect(tree(parse(written).root)).toEqual(tree(edited.root));
      expect(tree(await parseXml(written, 'domain', 'The domain XML'))).toEqual(tree(edited.root));
    }),
  );
});

test('an edit of one element leaves every byte outside it, but for white space beside it', () => {
  fc.assert(
    fc.property(document, edit, (text, one) => {
      const edited = parse(text);
      const before = elements(edited.root).map(({ element }) => element.toString());
      const index = one.target % before.length;
      const own = before[index] ?? '';
      // Where it stands: behind as many of its like as stand before it in the order of the document.
      const start = positions(text)[index] ?? 0;
      expect(text.startsWith(own, start)).toBe(true);
      apply(edited.root, one);
      const written = edited.toString();
      const prefix = text.slice(0, start).trimEnd();
      const suffix = text.slice(start + own.length).trimStart();
      expect(written.startsWith(prefix)).toBe(true);
      expect(written.endsWith(suffix)).toBe(true);
      expect(written.length).toBeGreaterThanOrEqual(prefix.length + suffix.length);
    }),
  );
});

/** Where the start tags stand, found without the parser: everything that is no tag is blanked out first. */
function positions(text: string): number[] {
  const blank = (part: string): string => ' '.repeat(part.length);
  const tags = text.replace(/<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[[\s\S]*?\]\]>/g, blank);
  return [...tags.matchAll(/<[a-z]/g)].map(({ index }) => index);
}
