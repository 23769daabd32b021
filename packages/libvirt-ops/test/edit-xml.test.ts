import { describe, expect, test } from 'vitest';
import { type EditableElement, EditableXml } from '../src/index.ts';

const QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0';

const DOMAIN = `<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<domain type='kvm' xmlns:qemu='${QEMU}'>
  <name>vm &lt;1&gt;</name>
  <metadata><app:note xmlns:app="urn:app"  x = "1" ><![CDATA[<raw>]]></app:note></metadata>
  <os>
    <loader readonly='yes'
            type="pflash">/usr/share/OVMF_CODE.fd</loader> <!-- firmware -->
    <nvram/>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <!-- the system -->
      <source file='/images/a&amp;b.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-foo'/>
  </qemu:commandline>
</domain>
<!-- the end -->
`;

function parse(text = DOMAIN): EditableXml {
  return EditableXml.parse(text, 'domain', 'The domain XML');
}

function found(element: EditableElement | undefined): EditableElement {
  if (element === undefined) throw new Error('the test looks for an element that is not there');
  return element;
}

/** The document after the edits of its root. */
function edited(text: string, edit: (root: EditableElement) => void): string {
  const document = parse(text);
  edit(document.root);
  return document.toString();
}

describe('reading', () => {
  test('tells elements, attributes and texts, with references resolved', () => {
    const { root } = parse();
    expect(root.attribute('type')).toBe('kvm');
    expect(root.child('name')?.text).toBe('vm <1>');
    expect(root.at('devices', 'disk', 'source')?.attribute('file')).toBe('/images/a&b.qcow2');
    expect(root.child('devices')?.all('disk')).toHaveLength(2);
    expect(root.at('devices', 'disk', 'nothing', 'source')).toBeUndefined();
  });

  test('finds elements of a namespace by its address, and others only without one', () => {
    const { root } = parse();
    expect(root.child('commandline')).toBeUndefined();
    expect(found(root.child('commandline', QEMU)).all('arg', QEMU)).toHaveLength(1);
    expect(root.child('metadata')?.child('note', 'urn:app')?.text).toBe('<raw>');
    const hidden = parse(`<domain><devices xmlns='urn:other'><disk/></devices></domain>`).root;
    expect(hidden.child('devices')).toBeUndefined();
    expect(hidden.child('devices', 'urn:other')?.child('disk', 'urn:other')).toBeDefined();
  });

  test('takes white space in an attribute for spaces, and line ends for line feeds, unless they are references', () => {
    const { root } = parse(`<domain a='1\n2\t3&#10;4'>x\r\ny\rz&#13;</domain>`);
    expect(root.attribute('a')).toBe('1 2 3\n4');
    expect(root.text).toBe('x\ny\nz\r');
  });
});

describe('a document', () => {
  test.each([
    ['of many kinds of content', DOMAIN],
    ['with carriage returns', DOMAIN.replaceAll('\n', '\r\n')],
    ['with a byte order mark', `\ufeff${DOMAIN}`],
    ['in one line', DOMAIN.replace(/\n */g, ' ')],
    ['of one tag', '<domain/>'],
    ['of one tag with space', ' <domain  />\n'],
    ['with processing instructions', '<?a b?><domain><?c?>é🚀<?d e?></domain><?f?>'],
    ['with tags that have spaces', `<domain\n\ta = 'x' ><b ></b\n></domain >`],
  ])('%s comes back as it was when nothing is edited', (_, text) => {
    expect(parse(text).toString()).toBe(text);
  });

  test('comes back as it was when an edit sets what is there', () => {
    const same = edited(DOMAIN, (root) => {
      root.setAttribute('type', 'kvm');
      root.child('name')?.setText('vm <1>');
      root.removeAttribute('id');
    });
    expect(same).toBe(DOMAIN);
  });
});

describe('an attribute', () => {
  test('changes between its quotes', () => {
    const changed = edited(DOMAIN, (root) => root.at('os', 'loader')?.setAttribute('type', `a"b'c<&\n`));
    expect(changed).toBe(DOMAIN.replace('"pflash"', '"a&quot;b&apos;c&lt;&amp;&#10;"'));
  });

  test('that is new stands behind the others', () => {
    const changed = edited(DOMAIN, (root) => {
      root.at('os', 'loader')?.setAttribute('secure', 'no');
      root.at('os', 'nvram')?.setAttribute('template', '/t');
    });
    expect(changed).toBe(
      DOMAIN.replace('"pflash">', `"pflash" secure='no'>`).replace('<nvram/>', `<nvram template='/t'/>`),
    );
  });

  test('goes with the space before it', () => {
    const changed = edited(DOMAIN, (root) => {
      root.at('os', 'loader')?.removeAttribute('type');
      root.at('devices', 'disk')?.removeAttribute('type');
    });
    expect(changed).toBe(
      DOMAIN.replace(`\n            type="pflash"`, '').replace(
        `<disk type='file' device='disk'>`,
        `<disk device='disk'>`,
      ),
    );
  });

  test('can be set, removed and set again', () => {
    const changed = edited(`<domain a='1'/>`, (root) => {
      for (const name of ['a', 'b']) {
        root.setAttribute(name, '2');
        root.removeAttribute(name);
        expect(root.attribute(name)).toBeUndefined();
        root.setAttribute(name, '3');
        expect(root.attribute(name)).toBe('3');
      }
    });
    expect(changed).toBe(`<domain a='3' b='3'/>`);
  });
});

describe('a text', () => {
  test('is replaced and escaped', () => {
    const changed = edited(DOMAIN, (root) => root.child('name')?.setText('a & b'));
    expect(changed).toBe(DOMAIN.replace('vm &lt;1&gt;', 'a &amp; b'));
  });

  test('takes the place of all pieces, and leaves the comments between them', () => {
    const text = '<domain><name>a<!-- 1 -->b<![CDATA[c]]><?p?> </name></domain>';
    expect(edited(text, (root) => root.child('name')?.setText('x'))).toBe(
      '<domain><name>x<!-- 1 --><?p?></name></domain>',
    );
  });

  test('comes into an element that has none', () => {
    const text = `<domain><a/><b></b><c x='1' /><d><!-- c --></d></domain>`;
    const changed = edited(text, (root) => {
      for (const child of root.children) child.setText('t');
      root.child('c')?.setAttribute('y', '2');
    });
    expect(changed).toBe(`<domain><a>t</a><b>t</b><c x='1' y='2'>t</c><d>t<!-- c --></d></domain>`);
  });

  test('is refused where there are elements', () => {
    expect(() => parse().root.setText('x')).toThrow(expect.objectContaining({ code: 'INVALID_ARG' }));
  });
});

describe('removing', () => {
  test('takes an element with its line', () => {
    const changed = edited(DOMAIN, (root) => root.child('devices')?.all('disk')[1]?.remove());
    expect(changed).toBe(
      DOMAIN.replace(`    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>\n`, ''),
    );
  });

  test('leaves what else stands in the line', () => {
    const changed = edited(DOMAIN, (root) => {
      root.at('os', 'loader')?.remove();
      root.child('devices')?.all('disk')[1]?.child('readonly')?.remove();
    });
    expect(changed).toBe(
      DOMAIN.replace(/<loader[\s\S]*<\/loader>/, '').replace(`<target dev='sda'/><readonly/>`, `<target dev='sda'/>`),
    );
  });

  test('takes all children, one after the other', () => {
    const changed = edited(DOMAIN, (root) => {
      for (const disk of root.child('devices')?.all('disk') ?? []) disk.remove();
      expect(root.child('devices')?.children).toEqual([]);
    });
    expect(changed).toBe(DOMAIN.replace(/<devices>[\s\S]*<\/devices>/, '<devices>\n  </devices>'));
  });

  test('a second time does nothing, and the root stays', () => {
    const { root } = parse();
    const name = found(root.child('name'));
    name.remove();
    name.remove();
    expect(() => root.remove()).toThrow(expect.objectContaining({ code: 'INVALID_ARG' }));
  });

  test('wins over edits inside', () => {
    const changed = edited(DOMAIN, (root) => {
      const metadata = found(root.child('metadata'));
      metadata.setAttribute('a', 'b');
      metadata.insert({ name: 'x' });
      metadata.remove();
    });
    expect(changed).toBe(DOMAIN.replace(/ {2}<metadata>.*\n/, ''));
  });
});

describe('inserting', () => {
  test('gives the element a line of its own, behind the last one', () => {
    const changed = edited(DOMAIN, (root) =>
      root.child('devices')?.insert({ name: 'memballoon', attributes: { model: 'none', alias: undefined } }),
    );
    expect(changed).toBe(DOMAIN.replace('  </devices>', `    <memballoon model='none'/>\n  </devices>`));
  });

  test('puts it before or behind a sibling, in the order of the calls', () => {
    const changed = edited(DOMAIN, (root) => {
      const devices = found(root.child('devices'));
      const [first, second] = devices.all('disk');
      devices.insert({ name: 'a' }, { before: found(first) });
      const b = devices.insert({ name: 'b' }, { after: found(first) });
      devices.insert({ name: 'c' }, { after: b });
      devices.insert({ name: 'd' }, { before: found(second) });
      devices.insert({ name: 'e' }, { after: found(second) });
      devices.insert({ name: 'f' });
      expect(devices.children.map(({ name }) => name)).toEqual(['a', 'disk', 'b', 'c', 'd', 'disk', 'e', 'f']);
    });
    const lines = (...names: string[]) => names.map((name) => `    <${name}/>\n`).join('');
    expect(changed).toBe(
      DOMAIN.replace('<devices>\n', `<devices>\n${lines('a')}`)
        .replace('    </disk>\n', `    </disk>\n${lines('b', 'c', 'd')}`)
        .replace('  </devices>', `${lines('e', 'f')}  </devices>`),
    );
  });

  test('opens an element of one tag', () => {
    const changed = edited(DOMAIN, (root) =>
      root.at('os', 'nvram')?.insert({ name: 'source', attributes: { file: '/n' } }),
    );
    expect(changed).toBe(DOMAIN.replace('<nvram/>', `<nvram>\n      <source file='/n'/>\n    </nvram>`));
    expect(edited('<domain/>', (root) => root.insert({ name: 'a', text: '<' }))).toBe('<domain><a>&lt;</a></domain>');
    const twoLines = edited('<domain>\n</domain>', (root) => root.insert({ name: 'a' }));
    expect(twoLines).toBe('<domain>\n  <a/>\n</domain>');
  });

  test('writes elements inside elements, and lets them be edited', () => {
    const changed = edited(DOMAIN, (root) => {
      const disk = found(root.at('devices', 'disk'));
      const store = disk.insert({ name: 'backingStore', children: [{ name: 'format', attributes: { type: 'raw' } }] });
      store.setAttribute('type', 'file');
      store.insert({ name: 'source', attributes: { file: `/o'brien` } });
      disk.insert({ name: 'gone' }).remove();
      expect(disk.at('backingStore', 'source')?.attribute('file')).toBe(`/o'brien`);
    });
    const lines = [
      `      <backingStore type='file'>`,
      `        <format type='raw'/>`,
      `        <source file='/o&apos;brien'/>`,
      '      </backingStore>',
    ];
    expect(changed).toBe(DOMAIN.replace('    </disk>', `${lines.join('\n')}\n    </disk>`));
  });

  test('takes the place of a removed sibling', () => {
    const changed = edited(DOMAIN, (root) => {
      const disk = found(root.at('devices', 'disk'));
      const source = found(disk.child('source'));
      disk.insert({ name: 'new' }, { before: source });
      disk.insert({ name: 'newer' }, { after: source });
      source.remove();
    });
    expect(changed).toBe(DOMAIN.replace(/<source .*\/>/, '<new/>\n      <newer/>'));
  });

  test('keeps to the line breaks and the one line of the document', () => {
    const crlf = '<domain>\r\n\t<a/>\r\n</domain>';
    expect(edited(crlf, (root) => root.insert({ name: 'b' }))).toBe('<domain>\r\n\t<a/>\r\n\t<b/>\r\n</domain>');
    const oneLine = '<domain><a/></domain>';
    const children = [{ name: 'c' }];
    expect(edited(oneLine, (root) => root.insert({ name: 'b', children }))).toBe('<domain><a/><b><c/></b></domain>');
  });

  test('knows the namespaces of its place', () => {
    const changed = edited(DOMAIN, (root) => {
      const added = root.child('commandline', QEMU)?.insert({ name: 'qemu:arg', attributes: { value: '-bar' } });
      expect(added?.namespace).toBe(QEMU);
    });
    expect(changed).toBe(DOMAIN.replace(`-foo'/>\n`, `-foo'/>\n    <qemu:arg value='-bar'/>\n`));
    expect(() => parse().root.insert({ name: 'other:arg' })).toThrow(expect.objectContaining({ code: 'BAD_XML' }));
  });

  test('beside a stranger is refused', () => {
    const { root } = parse();
    const stranger = found(root.at('os', 'loader'));
    expect(() => root.insert({ name: 'a' }, { after: stranger })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARG' }),
    );
  });
});

test.each(['\0', '\u0001', '\ufffe', '\ud800'])('what XML cannot carry is refused at the edit: %j', (character) => {
  const { root } = parse();
  const refused = expect.objectContaining({ code: 'INVALID_ARG' });
  expect(() => root.setAttribute('a', character)).toThrow(refused);
  expect(() => root.child('name')?.setText(character)).toThrow(refused);
  expect(() => root.insert({ name: 'a', text: character })).toThrow(refused);
  expect(parse().toString()).toBe(root.toString() === DOMAIN ? '' : DOMAIN);
});

test('a name that is none is refused for an attribute', () => {
  expect(() => parse().root.setAttribute(`a='b' c`, 'd')).toThrow(expect.objectContaining({ code: 'INVALID_ARG' }));
});
