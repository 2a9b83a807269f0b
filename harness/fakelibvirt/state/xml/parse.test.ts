import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../../../core/errors.ts';
import { formatXml } from './format.ts';
import { parseXml } from './parse.ts';
import { element, type XmlElement, type XmlNode } from './tree.ts';

const name = fc.stringMatching(/^[a-z][a-zA-Z0-9_.-]{0,8}$/);
// XML has no way to write other control characters, and reads a carriage return as a line feed.
const text = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((value) => !/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u.test(value));
const leafText = text.filter((value) => value.trim() !== '');

const tree: fc.Arbitrary<XmlElement> = fc.letrec<{ node: XmlElement }>((tie) => ({
  node: fc
    .record({
      name,
      attributes: fc.dictionary(name, text, { maxKeys: 3, noNullPrototype: true }),
      children: fc.oneof(
        { maxDepth: 4 },
        fc.constant<XmlNode[]>([]),
        leafText.map((value): XmlNode[] => [value]),
        fc.array<XmlNode>(tie('node'), { maxLength: 3 }),
      ),
    })
    .map(({ name: of, attributes, children }) => element(of, attributes, children)),
})).node;

describe('XML', () => {
  test('what is printed is read back the same', () => {
    fc.assert(
      fc.property(tree, (root) => {
        expect(parseXml(formatXml(root), 'document')).toEqual(root);
      }),
    );
  });

  test('any text is read or refused with a code', () => {
    const noise = fc.oneof(fc.string(), fc.stringMatching(/^[<>/a-b=&;'"! x-]{0,40}$/));
    fc.assert(
      fc.property(noise, (source) => {
        try {
          parseXml(source, 'document');
        } catch (error) {
          expect(isSevHarnessError(error, 'LIBVIRT_REFUSAL')).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('entities and CDATA become text once', () => {
    const root = parseXml("<a x='&lt;&#65;&#x42;&quot;'>&amp;lt;<![CDATA[ <&amp;> ]]></a>", 'document');
    expect(root).toEqual(element('a', { x: '<AB"' }, ['&lt;', ' <&amp;> ']));
  });

  test.each([
    ['<a><b></a>', /Opening and ending tag mismatch: b line 1 and a/],
    ['<a x=1/>', /AttValue: " or ' expected/],
    ["<a x='1' x='2'/>", /Attribute x redefined/],
    ['<a/><b/>', /Extra content at the end of the document/],
    ['<a>&bogus;</a>', /Entity 'bogus' not defined/],
    ['<disk', /Couldn't find end of Start Tag disk line 1/],
    ['<__proto__/>', /reserved/],
  ])('%s is refused', (source, words) => {
    expect(() => parseXml(source, 'document')).toThrowError(words);
  });

  test('an entity bomb does not expand', () => {
    const bomb = `<!DOCTYPE a [<!ENTITY b "${'x'.repeat(1000)}"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;&c;</a>`;
    expect(() => parseXml(bomb, 'document')).toThrowError(/Entity 'c' not defined/);
  });
});
