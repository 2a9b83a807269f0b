import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixDomain } from './lint.ts';
import { PROFILES } from './rule.ts';
import { HOST } from './testing/domains.ts';
import { readXml, type XmlElement } from './xml-reader.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const folder = path.join(shared, 'vectors/nova-xml');
const documents = readdirSync(folder)
  .filter((name) => name.endsWith('.xml'))
  .map((name) => readFileSync(path.join(folder, name), 'utf8'));

const VALUES = [
  '',
  'on',
  'off',
  'yes',
  'no',
  'virtio',
  'scsi',
  'sata',
  'ide',
  'sev',
  'sev-snp',
  'tdx',
  'pflash',
  'rom',
];
const MORE_VALUES = ['q35', 'pc', '47', '0x2f', '0x33', '0x0b', '0 ', 'none', 'hostdev', 'vda', 'hda', 'efi', 'bios'];
const FRAGMENTS = [
  "<rng model='virtio'/>",
  "<disk><target dev='hda' bus='ide'/></disk>",
  "<disk device='lun'><target dev='vdz'/><boot order='1'/></disk>",
  "<driver iommu='off'/>",
  "<hostdev type='pci'/>",
  '<vmcoreinfo/>',
  "<launchSecurity type='sev'/>",
  '<memoryBacking/>',
  "<controller type='ide'/>",
  "<channel><target type='virtio'/></channel>",
  '<memballoon/>',
  '<os/>',
  '<devices/>',
  "<q:commandline xmlns:q='urn:x'><policy>1</policy></q:commandline>",
  '<![CDATA[<policy>]]>',
  '<loader/>',
  "<loader type='rom' readonly='no'>/x</loader>",
  '<kernel>/k</kernel>',
  '<policy/>',
  '<reducedPhysBits>0</reducedPhysBits>',
];

type Mutation = readonly [kind: 'drop' | 'double' | 'value' | 'insert' | 'text' | 'strip', at: number, what: number];

function elementsOf(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(elementsOf)];
}

const pick = <T>(all: readonly T[], at: number): T | undefined => all[at % Math.max(all.length, 1)];

/** One change that leaves the document well-formed. */
function mutated(xml: string, [kind, at, what]: Mutation): string {
  const element = pick(elementsOf(readXml(xml).root).slice(1), at);
  if (element === undefined) return xml;
  const { start, end, contentStart, contentEnd, selfClosing, children } = element;
  const attribute = pick([...element.attributes.values()], what);
  const value = pick([...VALUES, ...MORE_VALUES], what) ?? '';
  const spliced = (from: number, to: number, text: string) => xml.slice(0, from) + text + xml.slice(to);
  switch (kind) {
    case 'drop':
      return spliced(start, end, '');
    case 'double':
      return spliced(end, end, xml.slice(start, end));
    case 'value':
      return attribute === undefined ? xml : spliced(attribute.valueSpan.start, attribute.valueSpan.end, value);
    case 'strip':
      return attribute === undefined ? xml : spliced(attribute.span.start - 1, attribute.span.end, '');
    case 'insert':
      return selfClosing ? xml : spliced(contentStart, contentStart, pick(FRAGMENTS, what) ?? '');
    case 'text':
      return selfClosing || children.length > 0 ? xml : spliced(contentStart, contentEnd, value);
  }
}

const anyMutation: fc.Arbitrary<Mutation> = fc.tuple(
  fc.constantFrom('drop', 'double', 'value', 'insert', 'text', 'strip'),
  fc.nat(),
  fc.nat(),
);
const anyDocument = fc
  .tuple(fc.constantFrom(...documents), fc.array(anyMutation, { minLength: 1, maxLength: 5 }))
  .map(([xml, mutations]) => mutations.reduce(mutated, xml));

/** With a comment in front of each element below the root, numbered. */
function commented(xml: string): { text: string; comments: number } {
  const starts = readXml(xml).root.children.map(({ start }) => start);
  const text = starts.reduceRight(
    (all, start, index) => `${all.slice(0, start)}<!-- ${index} -->${all.slice(start)}`,
    xml,
  );
  return { text, comments: starts.length };
}

describe.each(PROFILES)('--fix of any mutant of domain XML that nova wrote, profile %s', (profile) => {
  const options = fc.constantFrom({ profile, host: HOST }, { profile });

  it('leaves nothing that it could still change, and changes nothing the second time', () => {
    fc.assert(
      fc.property(anyDocument, options, (xml, given) => {
        const fixed = fixDomain(xml, given);
        expect(fixed.findings.filter(({ edits = [] }) => edits.length > 0)).toEqual([]);
        expect(fixDomain(fixed.xml, given)).toMatchObject({ xml: fixed.xml, mended: [] });
        if (fixed.mended.length === 0) expect(fixed.xml).toBe(xml);
      }),
      { numRuns: 400 },
    );
  });

  it('keeps every comment, and elements that no rule speaks of, to the letter', () => {
    fc.assert(
      fc.property(anyDocument, options, (xml, given) => {
        const { text, comments } = commented(xml);
        const fixed = fixDomain(text, given).xml;
        expect([...fixed.matchAll(/<!-- \d+ -->/g)]).toHaveLength(comments);
        const untouched = (source: string) =>
          readXml(source)
            .root.children.filter(({ name }) => ['metadata', 'vcpu', 'clock', 'cpu', 'name', 'uuid'].includes(name))
            .map(({ start, end }) => source.slice(start, end));
        expect(untouched(fixed)).toEqual(untouched(text));
      }),
      { numRuns: 200 },
    );
  });
});
