import { BackupSetError } from '../errors.ts';

/** What matters of a checkpoint's XML. */
export interface CheckpointDescription {
  name: string;
  parent: string | null;
  /** Seconds since 1970; null when the XML does not say, as before libvirt has made the checkpoint. */
  creationTime: number | null;
  /** Of the VM; null when the XML holds no domain. */
  domainUuid: string | null;
}

const LIMIT = 4 * 1024 * 1024;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
/** A comment, a processing instruction or a tag (quotes may hide a `>`), exactly here. Nothing else is let through. */
const MARKUP = /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)([^\s<>/="'!?]+)(?:"[^"]*"|'[^']*'|[^<>"'])*?(\/?)>/y;

/**
 * Reads name, parent, creation time and the domain's uuid from libvirt's XML of a checkpoint. Only what stands at
 * exactly these places counts: the domain inside has a name, too. Document types and other entities are refused.
 *
 * @param file for messages
 * @throws BackupSetError `BAD_CHECKPOINT_FILE`
 */
export function describeCheckpoint(xml: string, file: string): CheckpointDescription {
  const texts = xml.length <= LIMIT ? textsByPath(xml) : null;
  const name = texts?.get('domaincheckpoint/name');
  const time = texts?.get('domaincheckpoint/creationTime');
  const creationTime = time === undefined ? null : Number(time);
  if (texts == null || !name || (time !== undefined && !/^\d{1,15}$/.test(time))) {
    const text = `${file} is not the XML of a libvirt checkpoint; remove it or restore it from another copy.`;
    throw new BackupSetError('BAD_CHECKPOINT_FILE', text, { file });
  }
  return {
    name,
    parent: texts.get('domaincheckpoint/parent/name') ?? null,
    creationTime,
    domainUuid: texts.get('domaincheckpoint/domain/uuid')?.toLowerCase() ?? null,
  };
}

/** The first text of each element that has only text, by its way from the root; null for what is not plain XML. */
function textsByPath(xml: string): Map<string, string> | null {
  const texts = new Map<string, string>();
  const open: string[] = [];
  let end = 0;
  let leaf = false;
  for (let start = xml.indexOf('<'); start >= 0; start = xml.indexOf('<', end)) {
    const between = xml.slice(end, start);
    // Sticky: what is no markup ends the reading at once, so that no input takes more than one pass.
    MARKUP.lastIndex = start;
    const match = MARKUP.exec(xml);
    if (match === null || (open.length === 0 && between.trim() !== '')) return null;
    end = MARKUP.lastIndex;
    const [, closing, tag, selfClosing] = match;
    if (closing === '/') {
      const text = unescapeText(between);
      const path = open.join('/');
      if (open.pop() !== tag || text === null) return null;
      if (leaf && !texts.has(path)) texts.set(path, text);
    } else if (tag !== undefined && selfClosing !== '/') {
      open.push(tag);
    }
    leaf = tag !== undefined && closing !== '/' && selfClosing !== '/';
    if (open.length > 256) return null;
  }
  return open.length === 0 && xml.slice(end).trim() === '' ? texts : null;
}

function unescapeText(text: string): string | null {
  let known = true;
  const plain = text.replace(/&([^;&]{0,10});?/g, (whole, name: string) => {
    const entity = ENTITIES[name];
    if (entity !== undefined && whole.endsWith(';')) return entity;
    const digits = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name);
    const code = digits === null ? 0x110000 : Number.parseInt(digits[1] ?? digits[2] ?? '', digits[1] ? 16 : 10);
    if (!whole.endsWith(';') || code > 0x10ffff) known = false;
    return known ? String.fromCodePoint(code) : '';
  });
  return known ? plain : null;
}
