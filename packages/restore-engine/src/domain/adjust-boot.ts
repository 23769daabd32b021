import type { EditableElement } from '@virtnbd/libvirt-ops';
import { BOOT_KINDS, type BootKind, type ChangeLog, only, requireOwn } from './adjustment.ts';

/** The paths that a configuration names for the files it needs to start: as written, absolute or not. */
export function bootFilePaths(root: EditableElement): Map<BootKind, string> {
  const paths = new Map<BootKind, string>();
  for (const os of root.all('os')) requireOwn(os);
  for (const kind of BOOT_KINDS) {
    const path = bootFilePath(bootElement(root, kind));
    if (path !== '') paths.set(kind, path);
  }
  return paths;
}

/** Points the configuration to other files; null for an NVRAM that libvirt is to make anew from its template. */
export function adjustBootFiles(
  root: EditableElement,
  files: ReadonlyMap<BootKind, string | null>,
  { changes }: ChangeLog,
): void {
  const paths = bootFilePaths(root);
  for (const [kind, path] of files) {
    const element = bootElement(root, kind);
    const old = paths.get(kind);
    if (element === undefined || old === path) continue;
    if (path === null) {
      clear(element);
      changes.push(`${kind}: libvirt makes it anew, was ${old}`);
    } else {
      setPath(element, path);
      changes.push(`${kind}: ${path}, was ${old}`);
    }
  }
}

function bootElement(root: EditableElement, kind: BootKind): EditableElement | undefined {
  const os = only(root, 'os');
  return os === undefined ? undefined : only(os, kind);
}

/** libvirt writes a plain path, or since 8.5 a source like that of a disk. */
function bootFilePath(element: EditableElement | undefined): string {
  if (element === undefined) return '';
  const source = only(element, 'source');
  if (source === undefined) return element.text.trim();
  return source.attribute('file') ?? source.attribute('dev') ?? source.attribute('name') ?? '';
}

function setPath(element: EditableElement, path: string): void {
  const source = only(element, 'source');
  if (source === undefined) {
    element.setText(path);
    return;
  }
  element.setAttribute('type', 'file');
  for (const name of source.attributeNames) if (name !== 'file') source.removeAttribute(name);
  for (const child of source.children) if (child.localName !== 'seclabel') child.remove();
  source.setAttribute('file', path);
}

/** Leaves the template, where there is one, and the format. */
function clear(element: EditableElement): void {
  const source = only(element, 'source');
  if (element.attribute('template') === undefined) element.remove();
  else if (source === undefined) element.setText('');
  else {
    source.remove();
    element.removeAttribute('type');
  }
}
