import { type Attributes, escapeXml } from './build.ts';

/** An element to be inserted, with a text or with children. What it holds is escaped as needed. */
export interface NewElement {
  readonly name: string;
  /** Those that are undefined are left out. */
  readonly attributes?: Attributes;
  readonly text?: string;
  readonly children?: readonly NewElement[];
}

/**
 * Writes an element in libvirt's manner.
 *
 * @param lead the line break and white space before it; '' to write all in one line
 * @throws LibvirtError INVALID_ARG for a character that XML cannot carry
 */
export function formatElement({ name, attributes = {}, text = '', children = [] }: NewElement, lead: string): string {
  const written = Object.entries(attributes).map(([key, value]) =>
    value === undefined ? '' : ` ${key}='${escapeXml(value)}'`,
  );
  const start = `<${name}${written.join('')}`;
  const inner = lead && `${lead}  `;
  const content = children.map((child) => inner + formatElement(child, inner)).join('');
  if (content !== '') return `${start}>${content}${lead}</${name}>`;
  return text === '' ? `${start}/>` : `${start}>${escapeXml(text)}</${name}>`;
}
