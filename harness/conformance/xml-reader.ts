import { harnessError } from '../errors.ts';

/** Half-open range of string indices. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface XmlAttribute {
  readonly name: string;
  /** Entities decoded. */
  readonly value: string;
  /** From the first letter of the name to the closing quote. */
  readonly span: Span;
  /** Between the quotes. */
  readonly valueSpan: Span;
}

/** An element with the places of its parts in the text, so that an edit can leave every other byte alone. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, XmlAttribute>;
  readonly children: readonly XmlElement[];
  /** How many children have each name. */
  readonly childCounts: ReadonlyMap<string, number>;
  readonly parent: XmlElement | undefined;
  /** Position among the siblings of the same name, from 1. */
  readonly ordinal: number;
  /** Text directly inside, entities decoded. */
  readonly text: string;
  readonly start: number;
  /** After the `>` of the start tag. */
  readonly contentStart: number;
  /** At the `<` of the end tag; equal to `contentStart` when the element closes itself. */
  readonly contentEnd: number;
  readonly end: number;
  readonly selfClosing: boolean;
}

export interface XmlDocument {
  readonly source: string;
  readonly root: XmlElement;
  /** What the document breaks its lines with, and the quote of its first attribute. */
  readonly newline: string;
  readonly quote: string;
  /** Line and column of a string index, both from 1. */
  placeOf(index: number): { readonly line: number; readonly column: number };
}

/** What libvirt's wire takes as one string (REMOTE_STRING_MAX), and what libxml2 takes as depth. */
const MAX_CHARACTERS = 4 * 1024 * 1024;
const MAX_DEPTH = 256;

const NAME = /[A-Za-z_:\u0080-\uffff][\w:.\u0080-\uffff-]*/y;
const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that XML 1.0 forbids.
const FORBIDDEN_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const PREDEFINED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', apos: "'", quot: '"' };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Open extends Mutable<Omit<XmlElement, 'children' | 'childCounts' | 'text'>> {
  children: XmlElement[];
  text: string;
  readonly childCounts: Map<string, number>;
}

/**
 * Reads well-formed XML 1.0 without a document type: no DTD, no entities but the five of XML, one root.
 *
 * Throws `DOMAIN_XML_MALFORMED`, or `DOMAIN_XML_FORBIDDEN` for what is refused on purpose (document types, undeclared
 * entities, more than 4 Mi characters, nesting deeper than 256).
 */
export function readXml(source: string): XmlDocument {
  if (source.length > MAX_CHARACTERS)
    throw harnessError(
      'DOMAIN_XML_FORBIDDEN',
      `the XML has ${source.length} characters; libvirt takes at most ${MAX_CHARACTERS}`,
    );
  return new Reader(source).read();
}

class Reader {
  readonly #source: string;
  readonly #lineStarts: number[] = [0];
  #at = 0;
  #stack: Open[] = [];
  #root: XmlElement | undefined;

  constructor(source: string) {
    this.#source = source;
    for (let index = source.indexOf('\n'); index >= 0; index = source.indexOf('\n', index + 1))
      this.#lineStarts.push(index + 1);
  }

  read(): XmlDocument {
    const source = this.#source;
    const forbidden = FORBIDDEN_CHARACTER.exec(source);
    if (forbidden !== null)
      throw this.#malformed(`character U+${hex4(forbidden[0])} is not allowed in XML`, forbidden.index);
    if (source.startsWith('\ufeff')) this.#at = 1;
    while (this.#at < source.length) {
      if (source[this.#at] === '<') this.#markup();
      else this.#characters();
    }
    const open = this.#stack.at(-1);
    if (open !== undefined) throw this.#malformed(`<${open.name}> is never closed`, open.start);
    if (this.#root === undefined) throw this.#malformed('there is no element at all', 0);
    const newline = source.includes('\r\n') ? '\r\n' : '\n';
    const quote = /=\s*(["'])/.exec(source.slice(this.#root.start))?.[1] ?? "'";
    return { source, root: this.#root, newline, quote, placeOf: (index) => this.#placeOf(index) };
  }

  #markup(): void {
    const source = this.#source;
    const at = this.#at;
    if (source.startsWith('<!--', at)) {
      const end = this.#find('-->', at + 4, 'a comment');
      if (source.slice(at + 4, end).includes('--')) throw this.#malformed("a comment holds '--'", at);
      this.#at = end + 3;
    } else if (source.startsWith('<![CDATA[', at)) {
      const end = this.#find(']]>', at + 9, 'a CDATA section');
      const open = this.#stack.at(-1);
      if (open === undefined) throw this.#malformed('text outside of the root element', at);
      open.text += source.slice(at + 9, end);
      this.#at = end + 3;
    } else if (source.startsWith('<?', at)) this.#instruction();
    else if (source.startsWith('<!DOCTYPE', at))
      throw this.#forbidden('a document type declaration: domain XML has none, and entities are not expanded', at);
    else if (source.startsWith('</', at)) this.#endTag();
    else this.#startTag();
  }

  #instruction(): void {
    const at = this.#at;
    const end = this.#find('?>', at + 2, 'a processing instruction');
    if (/^<\?xml[\s?]/i.test(this.#source.slice(at, at + 6)) && this.#source.slice(0, at).replace('\ufeff', '') !== '')
      throw this.#malformed('the XML declaration is not at the start', at);
    this.#at = end + 2;
  }

  #characters(): void {
    const at = this.#at;
    const next = this.#source.indexOf('<', at);
    const end = next < 0 ? this.#source.length : next;
    const raw = this.#source.slice(at, end);
    const open = this.#stack.at(-1);
    if (raw.includes(']]>')) throw this.#malformed("']]>' outside of a CDATA section", at + raw.indexOf(']]>'));
    if (open === undefined) {
      const stray = /[^ \t\r\n]/.exec(raw);
      if (stray !== null) throw this.#malformed('text outside of the root element', at + stray.index);
    } else open.text += this.#decode(raw, at);
    this.#at = end;
  }

  #startTag(): void {
    const start = this.#at;
    const name = this.#name(start + 1, 'an element name');
    if (this.#stack.length >= MAX_DEPTH)
      throw this.#forbidden(`elements nested deeper than ${MAX_DEPTH}, which libvirt refuses`, start);
    const attributes = new Map<string, XmlAttribute>();
    for (;;) {
      const before = this.#at;
      this.#skipSpace();
      const here = this.#source[this.#at];
      if (here === undefined) throw this.#malformed(`<${name} is not closed by '>'`, start);
      if (here === '>' || here === '/') break;
      if (before === this.#at) throw this.#malformed('white space is missing before an attribute', this.#at);
      const attribute = this.#attribute(name);
      if (attributes.has(attribute.name))
        throw this.#malformed(`attribute ${attribute.name} is given twice on <${name}>`, attribute.span.start);
      attributes.set(attribute.name, attribute);
    }
    const selfClosing = this.#source[this.#at] === '/';
    if (selfClosing && this.#source[this.#at + 1] !== '>')
      throw this.#malformed(`expected '/>' at the end of <${name}`, this.#at);
    this.#at += selfClosing ? 2 : 1;
    this.#push(name, attributes, start, selfClosing);
  }

  #push(name: string, attributes: ReadonlyMap<string, XmlAttribute>, start: number, selfClosing: boolean): void {
    const parent = this.#stack.at(-1);
    if (parent === undefined && this.#root !== undefined)
      throw this.#malformed(`a second root element <${name}>`, start);
    const ordinal = (parent?.childCounts.get(name) ?? 0) + 1;
    parent?.childCounts.set(name, ordinal);
    const element: Open = {
      ...{ name, attributes, parent, ordinal, start, selfClosing },
      ...{
        children: [],
        text: '',
        childCounts: new Map(),
        contentStart: this.#at,
        contentEnd: this.#at,
        end: this.#at,
      },
    };
    parent?.children.push(element);
    if (parent === undefined) this.#root = element;
    if (!selfClosing) this.#stack.push(element);
  }

  #attribute(element: string): XmlAttribute {
    const start = this.#at;
    const name = this.#name(start, `an attribute of <${element}>`);
    this.#skipSpace();
    if (this.#source[this.#at] !== '=') throw this.#malformed(`attribute ${name} has no value`, start);
    this.#at++;
    this.#skipSpace();
    const quote = this.#source[this.#at];
    if (quote !== '"' && quote !== "'") throw this.#malformed(`the value of attribute ${name} is not quoted`, this.#at);
    const valueStart = this.#at + 1;
    const valueEnd = this.#find(quote, valueStart, `the value of attribute ${name}`);
    const raw = this.#source.slice(valueStart, valueEnd);
    if (raw.includes('<')) throw this.#malformed(`'<' in the value of attribute ${name}`, valueStart);
    this.#at = valueEnd + 1;
    return {
      name,
      value: this.#decode(raw, valueStart).replace(/[\t\r\n]/g, ' '),
      span: { start, end: this.#at },
      valueSpan: { start: valueStart, end: valueEnd },
    };
  }

  #endTag(): void {
    const start = this.#at;
    const name = this.#name(start + 2, 'an element name');
    this.#skipSpace();
    if (this.#source[this.#at] !== '>') throw this.#malformed(`</${name} is not closed by '>'`, start);
    this.#at++;
    const open = this.#stack.pop();
    if (open === undefined) throw this.#malformed(`</${name}> closes nothing`, start);
    if (open.name !== name)
      throw this.#malformed(
        `</${name}> where </${open.name}> is due (opened in line ${this.#line(open.start)})`,
        start,
      );
    open.contentEnd = start;
    open.end = this.#at;
  }

  #decode(raw: string, at: number): string {
    if (!raw.includes('&')) return raw;
    return raw.replace(/&([^;&\s]{0,40};?)/g, (_, body: string, offset: number) => {
      const name = body.endsWith(';') ? body.slice(0, -1) : undefined;
      if (name === undefined || name === '') throw this.#malformed("a bare '&'", at + offset);
      const numeric = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name);
      if (numeric !== null) {
        const code = Number.parseInt(numeric[1] ?? numeric[2] ?? '', numeric[1] === undefined ? 10 : 16);
        const character = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : '\0';
        if (FORBIDDEN_CHARACTER.test(character))
          throw this.#malformed(`&${name}; is not a character of XML`, at + offset);
        return character;
      }
      if (!Object.hasOwn(PREDEFINED, name))
        throw this.#forbidden(`entity &${name}; : only the five of XML itself are read`, at + offset);
      return PREDEFINED[name] as string;
    });
  }

  #name(at: number, what: string): string {
    NAME.lastIndex = at;
    const name = NAME.exec(this.#source)?.[0];
    if (name === undefined) throw this.#malformed(`expected ${what}`, at);
    this.#at = at + name.length;
    return name;
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#source)?.[0].length ?? 0;
  }

  #find(terminator: string, from: number, what: string): number {
    const end = this.#source.indexOf(terminator, from);
    if (end < 0) throw this.#malformed(`${what} is never closed`, this.#at);
    return end;
  }

  #placeOf(index: number): { line: number; column: number } {
    const line = this.#line(index);
    return { line, column: index - (this.#lineStarts[line - 1] ?? 0) + 1 };
  }

  /** Number of line starts at or before the index. */
  #line(index: number): number {
    let [low, high] = [0, this.#lineStarts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #malformed(what: string, at: number) {
    const { line, column } = this.#placeOf(at);
    return harnessError('DOMAIN_XML_MALFORMED', `not well-formed XML, line ${line} column ${column}: ${what}`);
  }

  #forbidden(what: string, at: number) {
    const { line, column } = this.#placeOf(at);
    return harnessError('DOMAIN_XML_FORBIDDEN', `refused in line ${line} column ${column}: ${what}`);
  }
}

function hex4(character: string): string {
  return character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
}
