import { describe, expect, test } from 'vitest';
import { EditableXml } from '../src/index.ts';

function parse(text: string): EditableXml {
  return EditableXml.parse(text, 'domain', 'The domain XML');
}

const nested = (levels: number) => `<domain>${'<a>'.repeat(levels)}${'</a>'.repeat(levels)}</domain>`;
const BILLION = `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><domain>&b;</domain>`;

const BAD: [string, string, RegExp][] = [
  ['a document type with entities', BILLION, /DOCTYPE/],
  ['a bare document type', '<?xml version="1.0"?><!-- c --><!doctype domain><domain/>', /DOCTYPE/],
  ['a document type inside', '<domain><!DOCTYPE x></domain>', /DOCTYPE/],
  ['an entity of its own', '<domain>\n <a>&bomb;</a></domain>', /entity.*line 2, column 5/],
  ['an entity of its own in an attribute', `<domain a='&file;'/>`, /entity/],
  ['a bare ampersand', '<domain>a & b</domain>', /begins no reference/],
  ['a reference to a control character', '<domain>&#1;</domain>', /no character/],
  ['a reference to half a character', '<domain>&#xd800;</domain>', /no character/],
  ['a reference beyond Unicode', '<domain>&#x110000;</domain>', /no character/],
  ['a reference of endless digits', `<domain>&#${'9'.repeat(500)};</domain>`, /no character/],
  ['a control character', '<domain>\0</domain>', /character that XML does not allow/],
  ['half a character', '<domain>\ud800</domain>', /character that XML does not allow/],
  ['another encoding', '<?xml version="1.0" encoding="ISO-8859-1"?><domain/>', /encoding is 'ISO-8859-1'/],
  ['a malformed declaration', '<?xml encoding="utf-8"?><domain/>', /declaration/],
  ['a declaration that is not at the start', '\n<?xml version="1.0"?><domain/>', /declaration/],
  ['a second root', '<domain/><domain/>', /more than one root/],
  ['text before the root', 'x<domain/>', /outside its root/],
  ['text behind the root', '<domain/>x', /outside its root/],
  ['CDATA behind the root', '<domain/><![CDATA[x]]>', /outside its root/],
  ['another root', '<network/>', /not a <domain>/],
  ['an empty text', ' \n', /no element/],
  ['no XML at all', 'hello', /outside its root/],
  ['an unclosed element', '<domain><a></domain>', /<\/domain> closes what is not open/],
  ['an unclosed root', '<domain>', /<domain> is not closed/],
  ['an end without a start', '</domain>', /not open/],
  ['an unclosed tag', '<domain', /tag <domain> is malformed/],
  ['an unclosed end tag', '<domain></domain', /malformed/],
  ['an unclosed comment', '<domain><!-- </domain>', /comment does not end/],
  ['a comment with two hyphens', '<domain><!-- -- --></domain>', /'--'/],
  ['an unclosed CDATA section', '<domain><![CDATA[ </domain>', /CDATA/],
  ['an unclosed instruction', '<domain><?p </domain>', /instruction/],
  ['an end of CDATA in a text', '<domain>]]></domain>', /']]>'/],
  ['an attribute without a value', '<domain a/>', /no value/],
  ['an attribute without quotes', '<domain a=1/>', /no quotes/],
  ['an attribute that does not end', `<domain a='1/>`, /does not end/],
  ['an attribute twice', `<domain a='1' a='2'/>`, /twice/],
  ['attributes without a space between', `<domain a='1'b='2'/>`, /malformed/],
  ['a tag in an attribute', `<domain a='<'/>`, /'<'/],
  ['a name that is none', '<domain><1/></domain>', /name/],
  ['a name of two prefixes', '<domain><a:b:c/></domain>', /malformed|not declared/],
  ['a prefix that is not declared', '<domain><qemu:arg/></domain>', /prefix of 'qemu:arg'/],
  ['the prefix of an attribute that is not declared', `<domain x:a='1'/>`, /prefix of 'x:a'/],
  ['elements nested without end', nested(100_000), /nested deeper/],
  ['elements without number', `<domain>${'<a/>'.repeat(300_000)}</domain>`, /more than 200000 elements/],
  ['a text that is far too long', `<domain>${' '.repeat(16 << 20)}</domain>`, /too long/],
];

describe('refused is', () => {
  test.each(BAD)('%s', (_, xml, message) => {
    expect(() => parse(xml)).toThrow(
      expect.objectContaining({ name: 'LibvirtError', code: 'BAD_XML', message: expect.stringMatching(message) }),
    );
  });
});

test('a thousand levels less one are read and written', () => {
  expect(parse(nested(998)).toString()).toBe(nested(998));
});

test('a document type that is only spoken of is text', () => {
  const xml = '<domain><!-- <!DOCTYPE x> --><a><![CDATA[<!DOCTYPE y>]]></a></domain>';
  expect(parse(xml).root.child('a')?.text).toBe('<!DOCTYPE y>');
});

test('elements and attributes named like members of Object do no harm', () => {
  const xml = `<domain __proto__='1' constructor='2'><__proto__ polluted='1'/><hasOwnProperty/>&lt;</domain>`;
  const { root } = parse(xml);
  expect(root.attribute('__proto__')).toBe('1');
  expect(root.attribute('toString')).toBeUndefined();
  expect(Reflect.get({}, 'polluted')).toBeUndefined();
  root.child('__proto__')?.setAttribute('constructor', 'x');
  expect(root.toString()).toBe(xml.replace(`polluted='1'`, `polluted='1' constructor='x'`));
});
