import { pathOf, shown } from './domain.ts';
import type { XmlDocument, XmlElement } from './xml-reader.ts';

/** What becomes of one part of a document. */
export interface Change {
  /** XPath of the attribute or element; of the parent where an element is new. */
  readonly place: string;
  /** Absent where there was nothing. */
  readonly from?: string;
  /** Absent where nothing is left. */
  readonly to?: string;
}

/** Replaces `source.slice(start, end)` by `text`; an insertion when both are equal. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly change: Change;
}

/** Applies edits that do not touch each other. */
export function applyEdits(source: string, edits: readonly TextEdit[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start || a.end - b.end)) {
    parts.push(source.slice(at, edit.start), edit.text);
    at = edit.end;
  }
  parts.push(source.slice(at));
  return parts.join('');
}

/** Sets an attribute, in the quotes that the document uses. */
export function setAttribute(document: XmlDocument, element: XmlElement, name: string, value: string): TextEdit {
  const { source } = document;
  const present = element.attributes.get(name);
  const place = `${pathOf(element)}/@${name}`;
  if (present !== undefined)
    return { ...present.valueSpan, text: escaped(value), change: { place, from: shown(present.value), to: value } };
  const last = [...element.attributes.values()].at(-1);
  const at = last?.span.end ?? element.start + 1 + element.name.length;
  const quote = last === undefined ? document.quote : source[at - 1];
  return { start: at, end: at, text: ` ${name}=${quote}${escaped(value)}${quote}`, change: { place, to: value } };
}

/** Removes an attribute with the white space before it. */
export function removeAttribute(document: XmlDocument, element: XmlElement, name: string): TextEdit[] {
  const present = element.attributes.get(name);
  if (present === undefined) return [];
  let { start } = present.span;
  while (/\s/.test(document.source[start - 1] ?? '')) start--;
  const change = { place: `${pathOf(element)}/@${name}`, from: shown(present.value) };
  return [{ start, end: present.span.end, text: '', change }];
}

/** Sets the text of an element that has no child elements; comments in it stay, behind the text. */
export function setText({ source }: XmlDocument, element: XmlElement, text: string): TextEdit {
  const { contentStart, contentEnd, end, name } = element;
  const change = { place: pathOf(element), from: shown(element.text.trim()), to: text };
  if (element.selfClosing) return { start: end - 2, end, text: `>${escaped(text)}</${name}>`, change };
  const kept = source.slice(contentStart, contentEnd).match(/<!--[\s\S]*?-->|<\?[\s\S]*?\?>/g) ?? [];
  return { start: contentStart, end: contentEnd, text: escaped(text) + kept.join(''), change };
}

/** Removes an element, and its line when it stood alone there. */
export function removeElement(document: XmlDocument, element: XmlElement): TextEdit {
  const { source } = document;
  const change = { place: pathOf(element), from: shown(source.slice(element.start, element.contentStart)) };
  let { start, end } = element;
  while (source[start - 1] === ' ' || source[start - 1] === '\t') start--;
  const aloneBefore = start === 0 || source[start - 1] === '\n';
  const after = /[ \t]*\r?\n/y;
  after.lastIndex = end;
  const rest = after.exec(source);
  if (!aloneBefore || rest === null) return { start: element.start, end, text: '', change };
  end += rest[0].length;
  return { start, end, text: '', change };
}

/** Puts another element in the place of one. */
export function replaceElement(document: XmlDocument, element: XmlElement, line: string): TextEdit {
  const { start, end, contentStart } = element;
  const text = inQuotesOf(document, line);
  const change = { place: pathOf(element), from: shown(document.source.slice(start, contentStart)), to: shown(text) };
  return { start, end, text, change };
}

/** Appends a child, indented as its siblings are. `lines` are relative to the child's own indentation. */
export function appendChild(document: XmlDocument, parent: XmlElement, lines: readonly string[]): TextEdit {
  const { source, newline } = document;
  const quoted = lines.map((line) => inQuotesOf(document, line));
  const change = { place: pathOf(parent), to: shown(quoted.map((line) => line.trim()).join('')) };
  const sibling = parent.children.at(-1);
  if (sibling !== undefined) {
    const indent = indentOf(source, sibling.start);
    const text = indent === undefined ? quoted.map((line) => line.trim()).join('') : block(quoted, newline, indent);
    return { start: sibling.end, end: sibling.end, text, change };
  }
  const outer = indentOf(source, parent.start);
  const content =
    outer === undefined
      ? quoted.map((line) => line.trim()).join('')
      : `${block(quoted, newline, outer + indentUnit(document))}${newline}${outer}`;
  if (parent.selfClosing)
    return { start: parent.end - 2, end: parent.end, text: `>${content}</${parent.name}>`, change };
  const { contentStart, contentEnd } = parent;
  const blank = source.slice(contentStart, contentEnd).trim() === '';
  return { start: contentStart, end: blank ? contentEnd : contentStart, text: content, change };
}

function inQuotesOf({ quote }: XmlDocument, line: string): string {
  return line.replaceAll("'", quote);
}

function block(lines: readonly string[], newline: string, indent: string): string {
  return lines.map((line) => `${newline}${indent}${line}`).join('');
}

/** White space before an element that starts its line; undefined when something else stands there. */
function indentOf(source: string, start: number): string | undefined {
  let from = start;
  while (source[from - 1] === ' ' || source[from - 1] === '\t') from--;
  return from === 0 || source[from - 1] === '\n' ? source.slice(from, start) : undefined;
}

function indentUnit(document: XmlDocument): string {
  const { source, root } = document;
  const first = root.children[0];
  const [outer, inner] = [
    indentOf(source, root.start),
    first === undefined ? undefined : indentOf(source, first.start),
  ];
  if (outer === undefined || inner === undefined || !inner.startsWith(outer)) return '  ';
  return inner.slice(outer.length) || '  ';
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;').replaceAll("'", '&apos;');
}
