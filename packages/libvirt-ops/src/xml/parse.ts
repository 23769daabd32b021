import { badXml, XmlElement } from './element.ts';
import { MAX_DEPTH, MAX_LENGTH } from './limits.ts';

/** Keys of xml2js's objects that no element can have as its name. */
const KEYS = { attrkey: '#attributes', charkey: '#text', childkey: '#children' } as const;
const NAME_KEY = '#name';

/** The part of sax, the parser under xml2js, that is used. */
interface Sax {
  ondoctype?: (text: string) => void;
  onerror: (error: Error) => void;
  onopentag: (node: unknown) => void;
  onclosetag: (name: string) => void;
}

/**
 * Parses an XML document.
 *
 * @param what what the text is, for the message of an error
 * @throws LibvirtError BAD_XML: not well-formed, too long, another root than `root`, or with a DOCTYPE. A document type
 *   can define entities (which grow without bound, or name files); libvirt never writes one.
 */
export async function parseXml(text: string, root: string, what: string): Promise<XmlElement> {
  if (text.length > MAX_LENGTH) throw badXml(`${what} is too long: ${text.length} characters, at most ${MAX_LENGTH}`);
  const tree = await parseTree(text, what);
  const element = elementOf(tree);
  if (element === null) throw badXml(`${what} is empty`);
  if (element.name !== root) throw badXml(`${what} is not a <${root}>: its root element is <${element.name}>`);
  return element;
}

/** The parser, loaded when it is first needed or going to be. */
export const loadParser = (): Promise<typeof import('xml2js')> => import('xml2js');

async function parseTree(text: string, what: string): Promise<unknown> {
  const { Parser } = await loadParser();
  class DocumentParser extends Parser {
    declare readonly saxParser: Sax;
  }
  const parser = new DocumentParser({
    ...KEYS,
    explicitRoot: false,
    explicitChildren: true,
    preserveChildrenOrder: true,
  });
  const problems = watch(parser.saxParser);
  let tree: unknown;
  let cause: unknown;
  try {
    tree = await parser.parseStringPromise(text);
  } catch (error) {
    cause = error;
    problems.push('it is not well-formed');
  }
  if (problems.length > 0) throw badXml(`${what} cannot be read: ${problems[0]}`, cause);
  return tree;
}

/** Collects what xml2js lets pass: a document type, whatever follows the root element, elements nested without end. */
function watch(sax: Sax): string[] {
  const problems: string[] = [];
  const { onerror, onopentag, onclosetag } = sax;
  let depth = 0;
  let roots = 0;
  sax.ondoctype = () => problems.push('it has a DOCTYPE, which is not accepted');
  sax.onerror = (error) => {
    problems.push(error.message.split('\n', 1)[0] ?? 'unknown error');
    onerror(error);
  };
  sax.onopentag = (node) => {
    if (depth === 0) roots += 1;
    depth += 1;
    if (roots > 1) problems.push('it has more than one root element');
    if (depth > MAX_DEPTH) problems.push(`its elements are nested deeper than ${MAX_DEPTH}`);
    if (problems.length > 0) throw new Error(problems[0]); // ends the parsing
    onopentag(node);
  };
  sax.onclosetag = (name) => {
    depth -= 1;
    onclosetag(name);
  };
  return problems;
}

/** An element from xml2js's object; checked, since that is untyped. */
function elementOf(tree: unknown): XmlElement | null {
  if (!isRecord(tree)) return null;
  const name = tree[NAME_KEY];
  const text = tree[KEYS.charkey];
  const children = tree[KEYS.childkey];
  const attributes = tree[KEYS.attrkey];
  return new XmlElement(
    typeof name === 'string' ? name : '',
    typeof text === 'string' ? text : '',
    new Map(isRecord(attributes) ? Object.entries(attributes).map(([key, value]) => [key, String(value)]) : []),
    Array.isArray(children) ? children.map(elementOf).filter((child) => child !== null) : [],
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
