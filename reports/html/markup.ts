import { showable } from '../model/text.ts';

/** Markup that is safe to put into a page. Only `html` and `trusted` make it. */
export interface Html {
  readonly markup: string;
}

export type HtmlValue = string | number | Html | undefined | false | readonly HtmlValue[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return showable(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

function markupOf(value: HtmlValue): string {
  if (value === undefined || value === false) return '';
  if (typeof value === 'string') return escapeHtml(value);
  if (typeof value === 'number') return String(value);
  if ('markup' in value) return value.markup;
  return value.map(markupOf).join('');
}

/** A template whose values are escaped, for text and for double-quoted attributes; `undefined` and `false` are nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return { markup: strings.reduce((page, part, index) => `${page}${markupOf(values[index - 1])}${part}`) };
}

/** Text written in this source tree that is markup already. */
export function trusted(markup: string): Html {
  return { markup };
}

export const nothing: Html = trusted('');
