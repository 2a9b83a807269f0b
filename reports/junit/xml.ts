/** What XML 1.0 cannot hold even as a reference: most control characters, lone surrogates, two non-characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the purpose.
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/gu;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

function spellOut(text: string): string {
  return text.replace(FORBIDDEN, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

export type Attributes = Readonly<Record<string, string | number | undefined>>;

function attributes(values: Attributes): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        ` ${name}="${spellOut(String(value)).replace(/[&<>"\t\n\r]/g, (each) => ENTITIES[each] ?? each)}"`,
    )
    .join('');
}

export interface XmlElement {
  readonly name: string;
  readonly attributes: Attributes;
  /** Elements, or one text that is kept exactly. */
  readonly content: readonly XmlElement[] | string;
}

export function element(name: string, values: Attributes, content: XmlElement['content'] = []): XmlElement {
  return { name, attributes: values, content };
}

/** The element as text, indented; no white space is added to texts. */
export function formatXml(node: XmlElement, indent = ''): string {
  const start = `${indent}<${node.name}${attributes(node.attributes)}`;
  if (node.content.length === 0) return `${start}/>`;
  if (typeof node.content === 'string') {
    const text = spellOut(node.content).replace(/[&<>\r]/g, (each) => ENTITIES[each] ?? each);
    return `${start}>${text}</${node.name}>`;
  }
  const inner = node.content.map((child) => formatXml(child, `${indent}  `)).join('\n');
  return `${start}>\n${inner}\n${indent}</${node.name}>`;
}
