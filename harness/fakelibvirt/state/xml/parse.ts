import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { refusal } from '../../refusal.ts';
import type { XmlElement, XmlNode } from './tree.ts';

const TEXT = '#text';
const CDATA = '#cdata';
const ATTRIBUTES = ':@';

// Entities are decoded here and not by the parser: it leaves numeric references and unknown entities as they are.
const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  processEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  cdataPropName: CDATA,
});

/**
 * The tree of a document, with white space between elements dropped.
 *
 * `what` is the name that libvirt gives the document in its message (`domain_definition`). Malformed XML is refused
 * with XML_DETAIL and libxml2's words for the commonest mistakes; the parser's own words for the others.
 */
export function parseXml(source: string, what: string): XmlElement {
  const wellFormed = validate(source, what);
  let parsed: unknown;
  try {
    parsed = parser.parse(wellFormed);
  } catch (error) {
    throw malformed(source, what, error instanceof Error ? error.message : String(error), 1, 1);
  }
  const roots = (Array.isArray(parsed) ? parsed : []).flatMap((entry) => toNodes(entry, source, what));
  const [root, second] = roots.filter((node) => typeof node !== 'string');
  if (root === undefined) throw malformed(source, what, "Start tag expected, '<' not found", 1, 1);
  if (second !== undefined) throw malformed(source, what, 'Extra content at the end of the document', 1, source.length);
  return root;
}

function validate(source: string, what: string): string {
  if (source === '') throw refusal('XML_DETAIL', 'DOMAIN', `(${what}):1: Document is empty\n(null)\n^`);
  const trimmed = source.trimStart();
  if (!trimmed.startsWith('<')) throw malformed(source, what, "Start tag expected, '<' not found", 1, 1);
  const verdict = XMLValidator.validate(trimmed);
  if (verdict === true) return trimmed;
  const { msg, line, col } = verdict.err;
  const endOfLine = (source.split('\n')[line - 1] ?? '').length + 1;
  const mismatch = /closing tag '([^']+)' \(opened in line (\d+).*instead of closing tag '([^']+)'/.exec(msg);
  if (mismatch) {
    const words = `Opening and ending tag mismatch: ${mismatch[1]} line ${mismatch[2]} and ${mismatch[3]}`;
    throw malformed(source, what, words, line, endOfLine);
  }
  const unclosed = unclosedTag(msg);
  if (unclosed !== undefined) {
    const lastLine = trimmed.trimEnd().split('\n').length;
    const openedAt = trimmed.slice(0, Math.max(0, trimmed.lastIndexOf(`<${unclosed}`))).split('\n').length;
    const words = trimmed.includes('>')
      ? `Premature end of data in tag ${unclosed} line ${openedAt}`
      : `Couldn't find end of Start Tag ${unclosed} line ${openedAt}`;
    throw malformed(source, what, words, lastLine, (source.split('\n')[lastLine - 1] ?? '').length + 1);
  }
  const repeated = /^Attribute '([^']+)' is repeated/.exec(msg);
  if (repeated) throw malformed(source, what, `Attribute ${repeated[1]} redefined`, line, endOfLine);
  if (/^Attribute '([^']+)' is without value/.test(msg)) {
    throw malformed(source, what, 'AttValue: " or \' expected', line, col);
  }
  throw malformed(source, what, msg, line, col ?? 1);
}

/** The innermost element that has no end, from either of the two ways in which the validator says so. */
function unclosedTag(message: string): string | undefined {
  const single = /^Unclosed tag '([^']+)'/.exec(message)?.[1];
  const listed = /^Invalid '\[([\s\S]*)\]' found/.exec(message)?.[1];
  return (
    single ??
    listed
      ?.match(/"([^"]+)"/g)
      ?.at(-1)
      ?.replaceAll('"', '')
  );
}

function malformed(source: string, what: string, words: string, line: number, column: number) {
  const context = source.split('\n')[line - 1] ?? '';
  const pointer = `${'-'.repeat(Math.max(0, column - 1))}^`;
  return refusal('XML_DETAIL', 'DOMAIN', `(${what}):${line}: ${words}\n${context}\n${pointer}`);
}

function toNodes(entry: unknown, source: string, what: string): XmlNode[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const fields = entry as Record<string, unknown>;
  if (TEXT in fields) return [decode(String(fields[TEXT]), source, what)];
  if (CDATA in fields) return toText(fields[CDATA]);
  const name = Object.keys(fields).find((key) => key !== ATTRIBUTES);
  if (name === undefined) return [];
  const attributes = new Map<string, string>();
  for (const [key, value] of Object.entries((fields[ATTRIBUTES] as Record<string, unknown> | undefined) ?? {})) {
    // XML 1.0 section 3.3.3: white space in an attribute value is read as spaces.
    attributes.set(key, decode(String(value).replace(/[\t\n\r]/g, ' '), source, what));
  }
  const inner = fields[name];
  const children = (Array.isArray(inner) ? inner : []).flatMap((node) => toNodes(node, source, what));
  return [{ name, attributes, children: dropLayout(children) }];
}

function toText(cdata: unknown): string[] {
  const parts = Array.isArray(cdata) ? cdata : [];
  return parts.map((part) => String((part as Record<string, unknown>)[TEXT] ?? ''));
}

/** White space between elements is layout; beside text it is content. */
function dropLayout(children: XmlNode[]): XmlNode[] {
  const isBlank = (node: XmlNode) => typeof node === 'string' && node.trim() === '';
  const hasElements = children.some((node) => typeof node !== 'string');
  const hasText = children.some((node) => typeof node === 'string' && !isBlank(node));
  return hasElements && !hasText ? children.filter((node) => !isBlank(node)) : children;
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', apos: "'", quot: '"' };

function decode(raw: string, source: string, what: string): string {
  if (!raw.includes('&')) return raw;
  return raw.replace(/&([^;\s&]*);?/g, (_, name: string) => {
    const numeric = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const codePoint = numeric ? Number.parseInt(numeric[1] ?? numeric[2] ?? '', numeric[1] ? 16 : 10) : undefined;
    if (codePoint !== undefined && codePoint > 0 && codePoint <= 0x10ffff) return String.fromCodePoint(codePoint);
    const known = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
    if (known === undefined) throw malformed(source, what, `Entity '${name}' not defined`, 1, 1);
    return known;
  });
}
