import { LibvirtError, OwnErrorCode } from '../errors.ts';
import { escapeXml } from './build.ts';
import { QUALIFIED_NAME } from './characters.ts';
import { badXml } from './element.ts';
import { indentation, trimmedEnd, withoutIndentation } from './indentation.ts';
import { formatElement, type NewElement } from './new-element.ts';
import { scanXml } from './scan.ts';
import type { SourceElement } from './source-tree.ts';
import { applySplices, attributeSplices, openSplices, type Splice, textSplices } from './splice.ts';

/** Beside which sibling a new element goes; behind everything else when absent. */
export type Place = { readonly before: EditableElement } | { readonly after: EditableElement };

/**
 * A document that is changed by edits of its text: what no edit touches stays as it was written, byte by byte, with its
 * comments, order, quotes, white space and foreign namespaces.
 *
 * ```js
 * const document = EditableXml.parse(text, 'domain', 'The domain XML');
 * document.root.child('name')?.setText('other');
 * document.root.child('devices')?.all('disk')[0]?.remove();
 * const changed = document.toString();
 * ```
 */
export class EditableXml {
  readonly root: EditableElement;
  readonly #before: string;
  readonly #after: string;

  private constructor(text: string, source: SourceElement) {
    this.root = new EditableElement(text, source, null);
    this.#before = text.slice(0, source.start);
    this.#after = text.slice(source.end);
  }

  /**
   * @param what what the text is, for the message of an error
   * @throws LibvirtError BAD_XML: not well-formed, another root than `root`, a DOCTYPE or an entity of its own, too long
   */
  static parse(text: string, root: string, what: string): EditableXml {
    const source = scanXml(text, what);
    if (source.name !== root) throw badXml(`${what} is not a <${root}>: its root element is <${source.name}>`);
    return new EditableXml(text, source);
  }

  /** The document with all edits made. Without any it is the text that was parsed. */
  toString(): string {
    return this.#before + this.root.toString() + this.#after;
  }
}

/** Where an inserted element goes in its parent's text, and the line break and white space that go before it. */
interface Position {
  readonly at: number;
  readonly lead: string;
}

interface Child {
  readonly element: EditableElement;
  /** Absent for one that was parsed. */
  readonly inserted?: Position;
}

/** One element of an {@link EditableXml}. What it tells is the state after the edits made so far. */
export class EditableElement {
  /** With its prefix, as written. */
  readonly name: string;
  /** Without its prefix. */
  readonly localName: string;
  /** The address of its namespace; '' for none, as all of libvirt's own elements have. */
  readonly namespace: string;
  readonly #text: string;
  readonly #source: SourceElement;
  readonly #parent: EditableElement | null;
  #children: Child[];
  readonly #removed: SourceElement[] = [];
  readonly #attributes: Map<string, string>;
  /** Attributes set (a value) or removed (null). */
  readonly #changes = new Map<string, string | null>();
  #newText: string | undefined;

  /** Made by {@link EditableXml} and by {@link insert} only. */
  constructor(text: string, source: SourceElement, parent: EditableElement | null) {
    this.name = source.name;
    this.localName = source.localName;
    this.namespace = source.namespace;
    this.#text = text;
    this.#source = source;
    this.#parent = parent;
    this.#children = source.children.map((child) => ({ element: new EditableElement(text, child, this) }));
    this.#attributes = new Map(source.attributes.map(({ name, value }) => [name, value]));
  }

  get children(): readonly EditableElement[] {
    return this.#children.map((child) => child.element);
  }

  /** The character data directly inside; the white space of an element's line comes and goes with it only in the document. */
  get text(): string {
    return this.#newText ?? this.#source.texts.map(({ text }) => text).join('');
  }

  /** The names of its attributes, declarations of namespaces among them. */
  get attributeNames(): readonly string[] {
    return [...this.#attributes.keys()];
  }

  attribute(name: string): string | undefined {
    return this.#attributes.get(name);
  }

  /** The first child of that name, in that namespace (none when absent). */
  child(localName: string, namespace = ''): EditableElement | undefined {
    return this.children.find((child) => child.localName === localName && child.namespace === namespace);
  }

  /** All children of that name, in that namespace (none when absent). */
  all(localName: string, namespace = ''): EditableElement[] {
    return this.children.filter((child) => child.localName === localName && child.namespace === namespace);
  }

  /** The element that is reached by a first child of each name in turn: `root.at('os', 'nvram', 'source')`. */
  at(...localNames: readonly string[]): EditableElement | undefined {
    return localNames.reduce<EditableElement | undefined>((found, name) => found?.child(name), this);
  }

  /** @throws LibvirtError INVALID_ARG for a character that XML cannot carry */
  setAttribute(name: string, value: string): void {
    if (this.#attributes.get(name) === value) return;
    QUALIFIED_NAME.lastIndex = 0;
    if (QUALIFIED_NAME.exec(name)?.[0] !== name) throw invalid(`'${name}' is no name of an attribute`);
    escapeXml(value); // refuses what cannot be written, now rather than when the document is
    this.#attributes.set(name, value);
    this.#changes.set(name, value);
  }

  removeAttribute(name: string): void {
    if (this.#attributes.delete(name)) this.#changes.set(name, null);
  }

  /**
   * Replaces the character data; comments inside stay.
   *
   * @throws LibvirtError INVALID_ARG when the element has children, and for a character that XML cannot carry
   */
  setText(text: string): void {
    if (this.#children.length > 0 || this.#removed.length > 0) throw invalid(`<${this.name}> has elements, not a text`);
    if (this.text === text) return;
    escapeXml(text);
    this.#newText = text;
  }

  /** Takes the element away, with its line where nothing else stands in it. @throws LibvirtError INVALID_ARG for the root */
  remove(): void {
    const parent = this.#parent;
    if (parent === null) throw invalid(`<${this.name}> is the root of its document and cannot be removed`);
    const child = parent.#children.find(({ element: known }) => known === this);
    if (child === undefined) return;
    parent.#children = parent.#children.filter((known) => known !== child);
    if (child.inserted === undefined) parent.#removed.push(this.#source);
  }

  /**
   * Puts a new element inside this one, on a line of its own where its siblings have one each.
   *
   * @throws LibvirtError INVALID_ARG when the neighbour is no child of this element, and for a character that XML cannot
   *   carry; BAD_XML for a malformed name
   */
  insert(added: NewElement, place?: Place): EditableElement {
    if (this.#newText !== undefined) throw invalid(`<${this.name}> was given a text, and takes no elements`);
    const index = this.#indexOf(place);
    const { at, lead } = this.#position(place);
    const text = formatElement(added, lead);
    const child = new EditableElement(text, scanXml(text, `<${added.name}>`, this.#source.namespaces), this);
    this.#children.splice(index, 0, { element: child, inserted: { at, lead } });
    return child;
  }

  /** The element's XML, with all edits made. */
  toString(): string {
    return applySplices(this.#text, this.#source, this.#splices());
  }

  #splices(): Splice[] {
    const source = this.#source;
    const inserted = this.#children.some((child) => child.inserted !== undefined);
    const opened = source.contentStart === source.end && (inserted || this.#newText !== undefined);
    const open = opened ? openSplices(source, this.#closingLead()) : null;
    return [
      ...attributeSplices(source, this.#changes),
      ...(open === null ? [] : [open.before]),
      ...(this.#newText === undefined ? [] : textSplices(source, this.#newText)),
      ...this.#removed.map((removed) => ({ ...withoutIndentation(this.#text, removed), text: '' })),
      ...this.#children.flatMap((child) =>
        child.inserted === undefined ? child.element.#splices() : [insertion(child.element, child.inserted)],
      ),
      open?.after ?? { start: source.contentEnd, end: source.contentEnd, text: this.#closingLead() },
    ];
  }

  /** The line break before the end tag, where elements on lines of their own were put directly before it. */
  #closingLead(): string {
    const last = this.#children.at(-1)?.inserted;
    return last?.at === this.#source.contentEnd && last.lead !== '' ? this.#lead() : '';
  }

  #indexOf(place: Place | undefined): number {
    if (place === undefined) return this.#children.length;
    const neighbour = 'before' in place ? place.before : place.after;
    const index = this.#children.findIndex((child) => child.element === neighbour);
    if (index === -1) throw invalid(`<${neighbour.name}> is no child of <${this.name}>`);
    return 'before' in place ? index : index + 1;
  }

  #position(place: Place | undefined): Position {
    if (place === undefined) return this.#endPosition();
    const neighbour = 'before' in place ? place.before : place.after;
    const known = this.#children.find((child) => child.element === neighbour)?.inserted;
    if (known !== undefined) return known;
    const { start, end } = neighbour.#source;
    const lead = indentation(this.#text, start);
    return { at: 'before' in place ? start - lead.length : end, lead };
  }

  #endPosition(): Position {
    const { contentStart, contentEnd, children } = this.#source;
    const last = children.at(-1);
    const own = this.#lead();
    const lead = last === undefined ? own && `${own}  ` : indentation(this.#text, last.start);
    return { at: trimmedEnd(this.#text, { start: contentStart, end: contentEnd }), lead };
  }

  /** The line break and white space before this element; '' when it does not begin a line. */
  #lead(): string {
    const own = (child: Child): boolean => child.element === this;
    const position = this.#parent === null ? undefined : this.#parent.#children.find(own)?.inserted;
    return position?.lead ?? indentation(this.#text, this.#source.start);
  }
}

function insertion(element: EditableElement, { at, lead }: Position): Splice {
  return { start: at, end: at, text: lead + element.toString() };
}

function invalid(message: string): LibvirtError {
  return new LibvirtError(OwnErrorCode.invalidArgument, message);
}
