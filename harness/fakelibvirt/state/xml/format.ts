import { isElement, type XmlElement, type XmlNode } from './tree.ts';

/** The text libvirt would print: two spaces each level, single quotes, one line feed after each element. */
export function formatXml(root: XmlElement): string {
  return format(root, 0, LIBVIRT);
}

/** libvirt writes its own elements, and has libxml2 write what is inside `<metadata>`. */
interface Writer {
  readonly quote: string;
  escapeAttribute(value: string): string;
  escapeText(value: string): string;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
  '\n': '&#10;',
  '\t': '&#9;',
};

function escapeWith(pattern: RegExp): (value: string) => string {
  return (value) => value.replace(pattern, (character) => ESCAPES[character] ?? character);
}

const LIBVIRT: Writer = {
  quote: "'",
  escapeAttribute: escapeWith(/[&<>'"]/g),
  escapeText: escapeWith(/[&<>'"]/g),
};
const LIBXML: Writer = { quote: '"', escapeAttribute: escapeWith(/[&<>"\n\t]/g), escapeText: escapeWith(/[&<>]/g) };

function format(root: XmlElement, depth: number, writer: Writer): string {
  const indent = '  '.repeat(depth);
  const open = `${indent}${startTag(root, writer)}`;
  const content = root.children;
  if (content.length === 0) return `${open}/>\n`;
  // Mixed content occurs only inside <metadata>, where white space may matter: it goes out as it came in.
  if (content.some((node) => !isElement(node))) {
    return `${open}>${content.map((node) => inline(node, writer)).join('')}</${root.name}>\n`;
  }
  const inner = root.name === 'metadata' ? LIBXML : writer;
  let out = `${open}>\n`;
  for (const node of content) if (isElement(node)) out += format(node, depth + 1, inner);
  return `${out}${indent}</${root.name}>\n`;
}

function inline(node: XmlNode, writer: Writer): string {
  if (!isElement(node)) return writer.escapeText(node);
  const open = startTag(node, writer);
  if (node.children.length === 0) return `${open}/>`;
  return `${open}>${node.children.map((one) => inline(one, writer)).join('')}</${node.name}>`;
}

function startTag(root: XmlElement, { quote, escapeAttribute }: Writer): string {
  let open = `<${root.name}`;
  for (const [name, value] of root.attributes) open += ` ${name}=${quote}${escapeAttribute(value)}${quote}`;
  return open;
}
