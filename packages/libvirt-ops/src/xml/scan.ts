import { decode, FORBIDDEN, QUALIFIED_NAME } from './characters.ts';
import { badXml } from './element.ts';
import { MAX_DEPTH, MAX_LENGTH } from './limits.ts';
import { type Namespaces, NO_NAMESPACES, type SourceAttribute, type SourceElement } from './source-tree.ts';

/** A domain with a thousand devices has less than a tenth; bounds the memory. */
const MAX_ELEMENTS = 200_000;

/**
 * Reads a document with the positions of everything in it, and returns its root.
 *
 * @param what what the text is, for the message of an error
 * @throws LibvirtError BAD_XML: not well-formed (also by Namespaces in XML), with a DOCTYPE or an entity of its own, in
 *   another encoding, too long, too deep, too many elements; the message has line and column
 */
export function scanXml(text: string, what: string, namespaces: Namespaces = NO_NAMESPACES): SourceElement {
  if (text.length > MAX_LENGTH) throw badXml(`${what} is too long: ${text.length} characters, at most ${MAX_LENGTH}`);
  return new Scanner(text, what, namespaces).scan();
}

const SPACE = /[ \t\r\n]*/y;
const DECLARATION =
  /<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(["'])1\.[0-9]+\1(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(["'])([^"'<>]*)\2)?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(["'])(?:yes|no)\4)?[ \t\r\n]*\?>/y;

class Scanner {
  readonly #text: string;
  readonly #what: string;
  readonly #namespaces: Namespaces;
  #at = 0;
  #open: SourceElement[] = [];
  #root: SourceElement | undefined;
  #elements = 0;

  constructor(text: string, what: string, namespaces: Namespaces) {
    this.#text = text;
    this.#what = what;
    this.#namespaces = namespaces;
  }

  scan(): SourceElement {
    const forbidden = FORBIDDEN.exec(this.#text);
    if (forbidden !== null) this.#fail('it has a character that XML does not allow', forbidden.index);
    if (this.#text.startsWith('\ufeff')) this.#at = 1;
    this.#declaration();
    while (this.#at < this.#text.length) this.#next();
    const unclosed = this.#open.at(-1);
    if (unclosed !== undefined) this.#fail(`<${unclosed.name}> is not closed`, unclosed.start);
    return this.#root ?? this.#fail('it has no element', 0);
  }

  #declaration(): void {
    const [, , , encoding] = this.#match(DECLARATION) ?? [];
    if (encoding !== undefined && !/^(utf-8|us-ascii)$/i.test(encoding))
      this.#fail(`its encoding is '${encoding}'; only UTF-8 is accepted`, 0);
  }

  #next(): void {
    const has = (mark: string): boolean => this.#text.startsWith(mark, this.#at);
    if (!has('<')) this.#characters();
    else if (has('<!--')) this.#comment();
    else if (has('<![CDATA[')) this.#cdata();
    else if (has('<?')) this.#instruction();
    else if (has('<!')) this.#fail('it has a DOCTYPE, which is not accepted', this.#at);
    else if (has('</')) this.#endTag();
    else this.#startTag();
  }

  #characters(): void {
    const start = this.#at;
    const next = this.#text.indexOf('<', start);
    this.#at = next === -1 ? this.#text.length : next;
    const raw = this.#text.slice(start, this.#at);
    const parent = this.#open.at(-1);
    if (parent === undefined) {
      if (/[^ \t\r\n]/.test(raw)) this.#fail('it has text outside its root element', start);
      return;
    }
    if (raw.includes(']]>')) this.#fail("it has ']]>' in a text", start + raw.indexOf(']]>'));
    // Line ends become line feeds (2.11), but not those written as references.
    const text = decode(raw.replace(/\r\n?/g, '\n'), (problem) => this.#fail(problem, start));
    parent.texts.push({ text, start, end: this.#at });
  }

  #comment(): void {
    const start = this.#at;
    const end = this.#find('--', start + 4, 'a comment');
    if (this.#text[end + 2] !== '>') this.#fail("a comment has '--' inside", end);
    this.#at = end + 3;
  }

  #cdata(): void {
    const start = this.#at;
    const parent = this.#open.at(-1) ?? this.#fail('it has text outside its root element', start);
    const end = this.#find(']]>', start + 9, 'a CDATA section');
    this.#at = end + 3;
    const text = this.#text.slice(start + 9, end).replace(/\r\n?/g, '\n');
    parent.texts.push({ text, start, end: this.#at });
  }

  #instruction(): void {
    const start = this.#at;
    this.#at = start + 2;
    const target = this.#name();
    if (target.toLowerCase() === 'xml') this.#fail('its declaration is malformed, or not at its start', start);
    this.#at = this.#find('?>', this.#at, 'a processing instruction') + 2;
  }

  #startTag(): void {
    const start = this.#at;
    if (this.#root !== undefined && this.#open.length === 0) this.#fail('it has more than one root element', start);
    if (this.#open.length >= MAX_DEPTH) this.#fail(`its elements are nested deeper than ${MAX_DEPTH}`, start);
    if (++this.#elements > MAX_ELEMENTS) this.#fail(`it has more than ${MAX_ELEMENTS} elements`, start);
    this.#at += 1;
    const name = this.#name();
    const attributes = this.#attributes();
    const attributesEnd = attributes.at(-1)?.end ?? this.#at;
    this.#space();
    const empty = this.#text[this.#at] === '/';
    if (empty) this.#at += 1;
    if (this.#text[this.#at] !== '>') this.#fail(`the tag <${name}> is malformed`, this.#at);
    this.#at += 1;
    const parent = this.#open.at(-1);
    const namespaces = this.#declared(attributes, parent?.namespaces ?? this.#namespaces);
    const element: SourceElement = {
      ...{ name, namespaces, attributes, start, attributesEnd },
      ...this.#resolve(name, namespaces, start),
      children: [],
      texts: [],
      contentStart: this.#at,
      contentEnd: this.#at,
      end: this.#at,
    };
    if (parent === undefined) this.#root = element;
    else parent.children.push(element);
    if (!empty) this.#open.push(element);
  }

  #attributes(): SourceAttribute[] {
    const found: SourceAttribute[] = [];
    const names = new Set<string>();
    for (;;) {
      const start = this.#at;
      this.#space();
      if (this.#at === start || /[/>]/.test(this.#text[this.#at] ?? '>')) {
        this.#at = start;
        return found;
      }
      const attribute = this.#attribute(start);
      if (names.has(attribute.name)) this.#fail(`the attribute '${attribute.name}' stands twice`, start);
      names.add(attribute.name);
      found.push(attribute);
    }
  }

  #attribute(start: number): SourceAttribute {
    const name = this.#name();
    this.#space();
    if (this.#text[this.#at] !== '=') this.#fail(`the attribute '${name}' has no value`, this.#at);
    this.#at += 1;
    this.#space();
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") this.#fail(`the value of '${name}' has no quotes`, this.#at);
    const valueStart = this.#at + 1;
    const valueEnd = this.#find(quote, valueStart, `the value of '${name}'`);
    const raw = this.#text.slice(valueStart, valueEnd);
    if (raw.includes('<')) this.#fail(`the value of '${name}' has a '<'`, valueStart + raw.indexOf('<'));
    this.#at = valueEnd + 1;
    // White space becomes a space (3.3.3), but not that written as references.
    const value = decode(raw.replace(/\r\n|[\t\n\r]/g, ' '), (problem) => this.#fail(problem, valueStart));
    return { name, value, start, valueStart, valueEnd, end: this.#at };
  }

  #endTag(): void {
    const start = this.#at;
    this.#at += 2;
    const name = this.#name();
    this.#space();
    if (this.#text[this.#at] !== '>') this.#fail(`the tag </${name}> is malformed`, this.#at);
    this.#at += 1;
    const element = this.#open.pop();
    if (element?.name !== name) this.#fail(`</${name}> closes what is not open`, start);
    element.contentEnd = start;
    element.end = this.#at;
  }

  #declared(attributes: readonly SourceAttribute[], outer: Namespaces): Namespaces {
    const declarations = attributes.filter(({ name }) => name === 'xmlns' || name.startsWith('xmlns:'));
    const inner = declarations.map(({ name, value }): [string, string] => [name.slice('xmlns:'.length), value]);
    const namespaces = inner.length === 0 ? outer : new Map([...outer, ...inner]);
    for (const { name, start } of attributes)
      if (name.includes(':') && !name.startsWith('xmlns:')) this.#resolve(name, namespaces, start);
    return namespaces;
  }

  #resolve(name: string, namespaces: Namespaces, at: number): { localName: string; namespace: string } {
    const colon = name.indexOf(':');
    const prefix = colon === -1 ? '' : name.slice(0, colon);
    const namespace = namespaces.get(prefix) ?? '';
    if (prefix !== '' && namespace === '') this.#fail(`the prefix of '${name}' is not declared`, at);
    return { localName: name.slice(colon + 1), namespace };
  }

  #name(): string {
    return this.#match(QUALIFIED_NAME)?.[0] ?? this.#fail('a name is missing or malformed', this.#at);
  }

  #space(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  #find(mark: string, from: number, what: string): number {
    const found = this.#text.indexOf(mark, from);
    return found === -1 ? this.#fail(`${what} does not end`, this.#at) : found;
  }

  #fail(problem: string, offset: number): never {
    const before = this.#text.slice(0, offset).split('\n');
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
    throw badXml(`${this.#what} cannot be read: ${problem} (${place})`);
  }
}
