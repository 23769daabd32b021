import { LibvirtError, OwnErrorCode } from '../errors.ts';
import { FORBIDDEN } from './characters.ts';

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // A parser turns these into spaces in an attribute, and a carriage return into a line feed anywhere (2.11, 3.3.3).
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/**
 * A text as it stands in XML, in an attribute or between tags.
 *
 * @throws LibvirtError INVALID_ARG for a character that XML cannot carry
 */
export function escapeXml(text: string): string {
  const found = FORBIDDEN.exec(text);
  if (found !== null) {
    const character = (found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    throw new LibvirtError(
      OwnErrorCode.invalidArgument,
      `The character U+${character} cannot stand in XML, and so not in a name or path for libvirt: ${JSON.stringify(text)}`,
    );
  }
  return text.replace(/[&<>"'\t\n\r]/g, (character) => ESCAPES[character] ?? character);
}

export type Attributes = Readonly<Record<string, string | undefined>>;

/** An element with ready-made content. Attributes that are undefined are left out. */
export function element(name: string, attributes: Attributes, ...content: readonly string[]): string {
  const written = Object.entries(attributes)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([key, value]) => ` ${key}="${escapeXml(value)}"`)
    .join('');
  return content.length === 0 ? `<${name}${written}/>` : `<${name}${written}>${content.join('')}</${name}>`;
}
