import { isElement, type XmlElement } from './tree.ts';

/** The text libvirt would print: two spaces each level, single quotes, one line feed after each element. */
export function formatXml(root: XmlElement, depth = 0): string {
  const indent = '  '.repeat(depth);
  let open = `${indent}<${root.name}`;
  for (const [name, value] of root.attributes) open += ` ${name}='${escapeXml(value)}'`;
  const content = root.children;
  if (content.length === 0) return `${open}/>\n`;
  if (!content.some(isElement))
    return `${open}>${content.map((node) => escapeXml(String(node))).join('')}</${root.name}>\n`;
  // Mixed content occurs only inside <metadata>, where white space may matter: it goes out as it came in.
  if (content.some((node) => !isElement(node))) return `${open}>${content.map(formatInline).join('')}</${root.name}>\n`;
  let out = `${open}>\n`;
  for (const node of content) if (isElement(node)) out += formatXml(node, depth + 1);
  return `${out}${indent}</${root.name}>\n`;
}

function formatInline(node: XmlElement | string): string {
  if (!isElement(node)) return escapeXml(node);
  let open = `<${node.name}`;
  for (const [name, value] of node.attributes) open += ` ${name}='${escapeXml(value)}'`;
  if (node.children.length === 0) return `${open}/>`;
  return `${open}>${node.children.map(formatInline).join('')}</${node.name}>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
};

export function escapeXml(value: string): string {
  return value.replace(/[&<>'"]/g, (character) => ESCAPES[character] ?? character);
}
