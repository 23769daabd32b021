/** What XML 1.0 cannot carry, not even escaped (section 2.2): most control characters, lone surrogates, U+FFFE, U+FFFF. */
export const FORBIDDEN = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/** Section 2.3, without the colon, which separates a prefix (Namespaces in XML, section 4). */
const START =
  'A-Z_a-z\\u{c0}-\\u{d6}\\u{d8}-\\u{f6}\\u{f8}-\\u{2ff}\\u{370}-\\u{37d}\\u{37f}-\\u{1fff}\\u{200c}-\\u{200d}\\u{2070}-\\u{218f}\\u{2c00}-\\u{2fef}\\u{3001}-\\u{d7ff}\\u{f900}-\\u{fdcf}\\u{fdf0}-\\u{fffd}\\u{10000}-\\u{effff}';
const PART = `[${START}][-.0-9\\u{b7}\\u{300}-\\u{36f}\\u{203f}-\\u{2040}${START}]*`;
export const QUALIFIED_NAME = new RegExp(`${PART}(?::${PART})?`, 'uy');

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const REFERENCE = /&(?:#x([0-9A-Fa-f]+)|#([0-9]+)|([^;&<\s]*));|&/g;

/**
 * Character data, or an attribute's value, with its references resolved (sections 4.1 and 4.6).
 *
 * @param fail called with what is wrong; throws
 */
export function decode(text: string, fail: (problem: string) => never): string {
  if (!text.includes('&')) return text;
  return text.replace(REFERENCE, (all: string, hex: string, decimal: string, name: string) => {
    if (name !== undefined) {
      if (Object.hasOwn(ENTITIES, name)) return ENTITIES[name] ?? '';
      return fail(`it uses an entity of its own, '${all}', which is not accepted`);
    }
    if (all === '&') return fail("it has a '&' that begins no reference");
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    const character = code <= 0x10ffff ? String.fromCodePoint(code) : '';
    if (character === '' || FORBIDDEN.test(character)) return fail(`'${all}' is no character`);
    return character;
  });
}
