import { LibvirtError, OwnErrorCode } from '../errors.ts';

/** One element of a parsed document. Namespaces are left alone: `qemu:commandline` is a name like any other. */
export class XmlElement {
  readonly name: string;
  /** The character data directly inside, as it stands; '' when it is only white space. */
  readonly text: string;
  readonly children: readonly XmlElement[];
  readonly #attributes: ReadonlyMap<string, string>;

  constructor(name: string, text: string, attributes: ReadonlyMap<string, string>, children: readonly XmlElement[]) {
    this.name = name;
    this.text = text;
    this.children = children;
    this.#attributes = attributes;
  }

  attribute(name: string): string | undefined {
    return this.#attributes.get(name);
  }

  /** The first child of that name. */
  child(name: string): XmlElement | undefined {
    return this.children.find((element) => element.name === name);
  }

  /** All children of that name. */
  all(name: string): XmlElement[] {
    return this.children.filter((element) => element.name === name);
  }

  /** The text of the first child of that name. */
  textOf(name: string): string | undefined {
    return this.child(name)?.text;
  }
}

export function badXml(message: string, cause?: unknown): LibvirtError {
  return new LibvirtError(OwnErrorCode.badXml, message, { cause });
}
