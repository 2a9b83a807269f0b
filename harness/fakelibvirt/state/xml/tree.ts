/** An XML element with what libvirt keeps of it: comments and processing instructions are gone. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Map<string, string>;
  readonly children: XmlNode[];
}

export type XmlNode = XmlElement | string;

export function element(
  name: string,
  attributes: Readonly<Record<string, string | undefined>> = {},
  children: readonly XmlNode[] = [],
): XmlElement {
  const present = Object.entries(attributes).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { name, attributes: new Map(present), children: [...children] };
}

export function isElement(node: XmlNode): node is XmlElement {
  return typeof node !== 'string';
}

export function elements(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(isElement).filter((child) => name === undefined || child.name === name);
}

export function child(parent: XmlElement | undefined, name: string): XmlElement | undefined {
  for (const node of parent?.children ?? []) {
    if (isElement(node) && node.name === name) return node;
  }
  return undefined;
}

/** The element at the end of a path of names, each time the first. */
export function find(parent: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((at, name) => child(at, name), parent);
}

/** All text directly inside, as XPath's `string(./text())` would join it. */
export function text(of: XmlElement | undefined): string | undefined {
  if (of === undefined) return undefined;
  return of.children.filter((node): node is string => typeof node === 'string').join('');
}

export function attribute(of: XmlElement | undefined, name: string): string | undefined {
  return of?.attributes.get(name);
}

export function cloneElement(source: XmlElement): XmlElement {
  return {
    name: source.name,
    attributes: new Map(source.attributes),
    children: source.children.map((node) => (isElement(node) ? cloneElement(node) : node)),
  };
}

/** Puts `added` behind the last child of one of these names, or first. */
export function insertAfter(parent: XmlElement, names: readonly string[], added: XmlElement): void {
  const last = parent.children.findLastIndex((node) => isElement(node) && names.includes(node.name));
  parent.children.splice(last + 1, 0, added);
}
