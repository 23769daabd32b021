/** The namespaces in scope: address by prefix, '' being the default one. */
export type Namespaces = ReadonlyMap<string, string>;

/** The prefix that needs no declaration (Namespaces in XML, section 3). */
export const NO_NAMESPACES: Namespaces = new Map([['xml', 'http://www.w3.org/XML/1998/namespace']]);

/** Offsets are in UTF-16 units, as in a string; an end is the offset behind. */
export interface SourceAttribute {
  readonly name: string;
  readonly value: string;
  /** Where the white space before it begins. */
  readonly start: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Behind the closing quote. */
  readonly end: number;
}

/** A piece of an element's direct content, between tags, comments and instructions. */
export interface SourceText {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** An element, and where its parts stand: `<name attributes| >|content|</name>|`. */
export interface SourceElement {
  /** With its prefix, as written. */
  readonly name: string;
  readonly localName: string;
  /** The address of its namespace; '' for none. */
  readonly namespace: string;
  readonly namespaces: Namespaces;
  readonly attributes: readonly SourceAttribute[];
  readonly children: SourceElement[];
  readonly texts: SourceText[];
  readonly start: number;
  /** Where a further attribute goes. */
  readonly attributesEnd: number;
  readonly contentStart: number;
  /** Equal to `contentStart`, and to `end`, for one without an end tag: `<name/>`. */
  contentEnd: number;
  end: number;
}
