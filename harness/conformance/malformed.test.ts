import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import { fixDomain, lintDomain } from './lint.ts';
import { CLEAN, HOST } from './testing/domains.ts';
import { ruleSamples } from './testing/rule-samples.ts';
import { readXml } from './xml-reader.ts';

const refusal = (xml: string) => {
  try {
    lintDomain(xml, { profile: 'modern' });
  } catch (error) {
    if (isSevHarnessError(error)) return { code: error.code, text: error.message };
    throw error;
  }
  return undefined;
};

const LAUGHS = `<!DOCTYPE domain [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><domain>&b;</domain>`;

describe('what is no domain XML', () => {
  it.each([
    ['nothing', '', 'DOMAIN_XML_MALFORMED', 'no element'],
    ['white space', ' \n', 'DOMAIN_XML_MALFORMED', 'no element'],
    ['text', 'hello', 'DOMAIN_XML_MALFORMED', 'line 1 column 1'],
    ['a NUL', '<domain>\0</domain>', 'DOMAIN_XML_MALFORMED', 'U+0000'],
    ['JSON', '{"domain": 1}', 'DOMAIN_XML_MALFORMED', 'outside of the root'],
    ['an ELF file', '\u007fELF\u0002\u0001', 'DOMAIN_XML_MALFORMED', 'U+0002'],
    ['another root', '<network/>', 'DOMAIN_XML_OTHER_ROOT', '<network>'],
    ['two roots', '<domain/><domain/>', 'DOMAIN_XML_MALFORMED', 'second root'],
    ['text behind the root', '<domain/> x', 'DOMAIN_XML_MALFORMED', 'column 11'],
    ['an open element', '<domain>\n <os>', 'DOMAIN_XML_MALFORMED', 'line 2 column 2: <os> is never closed'],
    ['crossed elements', '<domain><a><b></a></b></domain>', 'DOMAIN_XML_MALFORMED', '</a> where </b> is due'],
    ['a stray end', '</domain>', 'DOMAIN_XML_MALFORMED', 'closes nothing'],
    ['an attribute twice', "<domain a='1' a='2'/>", 'DOMAIN_XML_MALFORMED', 'given twice'],
    ['an attribute without value', '<domain a/>', 'DOMAIN_XML_MALFORMED', 'has no value'],
    ['a value without quotes', '<domain a=1/>', 'DOMAIN_XML_MALFORMED', 'not quoted'],
    ['a value that never ends', "<domain a='1/>", 'DOMAIN_XML_MALFORMED', 'never closed'],
    ['attributes glued together', "<domain a='1'b='2'/>", 'DOMAIN_XML_MALFORMED', 'white space'],
    ['a comment that never ends', '<domain><!-- </domain>', 'DOMAIN_XML_MALFORMED', 'a comment is never closed'],
    ['a comment in a comment', '<domain><!-- -- --></domain>', 'DOMAIN_XML_MALFORMED', "holds '--'"],
    ['CDATA that never ends', '<domain><![CDATA[</domain>', 'DOMAIN_XML_MALFORMED', 'CDATA'],
    ['the end of a CDATA section that never began', '<domain>a]]>b</domain>', 'DOMAIN_XML_MALFORMED', 'column 10'],
    ['a namespace of its own', "<domain xmlns='urn:x'/>", 'DOMAIN_XML_OTHER_ROOT', 'urn:x'],
    ['a late declaration', "<domain><?xml version='1.0'?></domain>", 'DOMAIN_XML_MALFORMED', 'not at the start'],
    ['a bare ampersand', '<domain>a & b</domain>', 'DOMAIN_XML_MALFORMED', "bare '&'"],
    ['a forbidden character reference', '<domain>&#0;</domain>', 'DOMAIN_XML_MALFORMED', '&#0;'],
    ['half a surrogate', '<domain>&#xd800;</domain>', 'DOMAIN_XML_MALFORMED', '&#xd800;'],
    ['an entity', '<domain>&nbsp;</domain>', 'DOMAIN_XML_FORBIDDEN', '&nbsp;'],
    ['a billion laughs', LAUGHS, 'DOMAIN_XML_FORBIDDEN', 'document type'],
    [
      'an external entity',
      '<!DOCTYPE d SYSTEM "file:///etc/passwd"><domain/>',
      'DOMAIN_XML_FORBIDDEN',
      'document type',
    ],
    ['a tower of elements', '<a>'.repeat(100_000), 'DOMAIN_XML_FORBIDDEN', 'deeper than 256'],
    ['five megabytes', `<domain>${' '.repeat(5_000_000)}</domain>`, 'DOMAIN_XML_FORBIDDEN', '4194304'],
  ])('%s is refused in one line', (_, xml, code, words) => {
    const refused = refusal(xml);
    expect(refused?.code).toBe(code);
    expect(refused?.text).toContain(words);
    expect(refused?.text).not.toContain('\n');
  });

  it('is refused, or judged, but never breaks the linter: any one change of a domain', () => {
    const anyPlace = fc.nat({ max: CLEAN.length });
    const anyText = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.constantFrom('<', '>', '/', '&', "'", '"', '<!--', ']]>', '\0'),
    );
    fc.assert(
      fc.property(anyPlace, fc.nat({ max: 5 }), anyText, (at, drop, text) => {
        const xml = CLEAN.slice(0, at) + text + CLEAN.slice(at + drop);
        if (refusal(xml) === undefined)
          expect(fixDomain(xml, { profile: 'train', host: HOST }).xml).toBeTypeOf('string');
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['devices', "<rng model='virtio'/>", 0],
    ['disks', "<disk device='cdrom'><target dev='hda'/></disk>", 0],
    ['passed-through devices', "<hostdev type='pci'/>", 10_000],
  ])('is judged and mended although it has 10,000 %s', (_, xml, left) => {
    const many = CLEAN.replace('  </devices>', `${xml.repeat(10_000)}\n  </devices>`);
    const fixed = fixDomain(many, { profile: 'train', host: HOST });
    expect(fixed.mended.length + fixed.findings.length).toBe(10_000);
    expect(fixed.findings).toHaveLength(left);
  });
});

describe('a location', () => {
  it('is where the element starts, counted in lines and columns, with CRLF too', () => {
    const crlf = CLEAN.replaceAll('\n', '\r\n').replace('0x0033', '0x0001');
    const [finding] = lintDomain(crlf, { profile: 'modern' }).findings;
    expect(finding?.location).toBe('/domain/launchSecurity/policy at 28:5');
  });

  it('counts siblings of the same name', () => {
    const xml = CLEAN.replace(
      '<memballoon',
      "<rng model='virtio'><driver iommu='on'/></rng><rng model='virtio'/><memballoon",
    );
    expect(lintDomain(xml, { profile: 'train' }).findings[0]?.location).toMatch(/^\/domain\/devices\/rng\[2\] at /);
  });
});

describe('reading', () => {
  it('decodes what XML itself defines', () => {
    const { root } = readXml(`<?xml version="1.0"?><a b='&lt;&#65;&#x42;&quot;'>&amp;<![CDATA[<&>]]><!-- & --></a>`);
    expect(root.attributes.get('b')?.value).toBe('<AB"');
    expect(root.text).toBe('&<&>');
  });
});

describe('--fix', () => {
  it.each(ruleSamples.filter(({ isForPeople }) => !isForPeople).map((sample) => [sample.rule, sample] as const))(
    'keeps comments, order, quotes and line ends, and the byte order mark: %s',
    (_, { xml, profile }) => {
      const odd = `\ufeff<?xml version="1.0"?>\r\n<!-- mine & yours -->\r\n${xml.replaceAll('\n', '\r\n')}<!-- end -->`;
      const fixed = fixDomain(odd, { profile, host: HOST }).xml;
      expect(fixed).not.toBe(odd);
      expect(fixed.startsWith('\ufeff<?xml version="1.0"?>\r\n<!-- mine & yours -->\r\n')).toBe(true);
      expect(fixed.endsWith('</domain>\r\n<!-- end -->')).toBe(true);
      expect(fixed.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
    },
  );

  it('changes the lines that are wrong and no other', () => {
    const before = CLEAN.replace('    <locked/>\n', '').replace('>47<', '>51<');
    const after = fixDomain(before, { profile: 'train', host: HOST }).xml;
    expect(after).toBe(CLEAN);
  });

  it.each<[string, 'train' | 'modern', string | RegExp, string]>([
    ['a policy that breaks two rules', 'train', '0x0033', '0x0032'],
    ['an element that stands on a line of its own', 'train', '    <acpi/>\n', '    <acpi/>\n    <vmcoreinfo/>\n'],
    ['an element among others on its line', 'train', '<acpi/>', '<acpi/><vmcoreinfo/>'],
    [
      'a controller that the machine does not have',
      'train',
      "<memballoon model='none'/>",
      "<controller type='ide' index='0'/><memballoon model='none'/>",
    ],
  ])('gives the text back that there was before %s', (_, profile, from, to) => {
    const broken = CLEAN.replace(from, to);
    expect(broken).not.toBe(CLEAN);
    expect(fixDomain(broken, { profile, host: HOST }).xml).toBe(CLEAN);
  });

  it.each(['0x0037', '0x003f', '3f'])(
    'takes the white space behind policy %s away, and nothing that it forbids',
    (policy) => {
      const spaced = CLEAN.replace('0x0033', `${policy}\n    `);
      const { xml, mended } = fixDomain(spaced, { profile: 'modern', host: HOST });
      expect(mended.map(({ rule }) => rule)).toEqual(['POLICY-MISSING']);
      expect(xml).toBe(CLEAN.replace('0x0033', policy));
    },
  );

  it('adds what is missing in one place after the other', () => {
    const empty = CLEAN.replace(/ {4}<cbitpos>[\s\S]*<\/policy>\n/, '');
    const fixed = fixDomain(empty, { profile: 'train', host: HOST });
    expect(fixed.mended.map(({ rule }) => rule)).toEqual([
      'CBITPOS-MISSING',
      'REDUCEDPHYSBITS-MISSING',
      'POLICY-MISSING',
    ]);
    expect(fixed.xml).toBe(CLEAN);
  });

  it('moves a boot disk without what its old bus left behind, and adds the controller that it needs', () => {
    const virtio = CLEAN.replace(/ {4}<controller[\s\S]*<\/controller>\n/, '')
      .replace("type='qcow2'/>", "type='qcow2' iommu='on' queues='4' cache='none'/>")
      .replace(
        "<target dev='sda' bus='scsi'/>",
        "<target dev='vda' bus='virtio'/>\n      <address type='pci' bus='0x01'/>",
      );
    const { xml } = fixDomain(virtio, { profile: 'train', host: HOST });
    expect(xml).toContain("<driver name='qemu' type='qcow2' cache='none'/>");
    expect(xml).toContain("<target dev='sda' bus='scsi'/>\n    </disk>");
    expect(xml).toContain(
      "    <controller type='scsi' index='0' model='virtio-scsi'>\n      <driver iommu='on'/>\n    </controller>\n  </devices>",
    );
  });

  it('keeps a comment that stands in a value', () => {
    const before = CLEAN.replace('>47<', '>46<!-- why? --><').replace('0x0033', '<?keep?>0x0001');
    const after = fixDomain(before, { profile: 'train', host: HOST }).xml;
    expect(after).toBe(CLEAN.replace('>47<', '>47<!-- why? --><').replace('0x0033', '0x0033<?keep?>'));
  });

  it('leaves virtio models alone where the machine type becomes q35', () => {
    const legacy = CLEAN.replace('pc-q35-7.2', 'pc-i440fx-7.2');
    const after = fixDomain(legacy, { profile: 'modern', host: HOST });
    expect([after.xml, after.findings]).toEqual([CLEAN.replace('pc-q35-7.2', 'q35'), []]);
  });

  it('makes virtio 1.0 of devices where PCI addresses keep the machine type', () => {
    const address = "<address type='pci' slot='0x03'/>";
    const addressed = CLEAN.replace('pc-q35-7.2', 'pc').replace(
      "model='none'/>",
      `model='virtio'>${address}</memballoon>`,
    );
    const { xml, findings } = fixDomain(addressed, { profile: 'modern', host: HOST });
    expect(xml).toContain("<memballoon model='virtio-non-transitional'>");
    expect(findings.map(({ rule, location }) => [rule, location])).toEqual([
      ['MACHINE-NOT-Q35', '/domain/os/type at 8:5'],
    ]);
  });

  it('writes in the quotes of the document', () => {
    const double = CLEAN.replaceAll("'", '"').replace(/ {4}<controller[\s\S]*<\/controller>\n/, '');
    const after = fixDomain(double, { profile: 'train', host: HOST }).xml;
    expect(after).toContain('<controller type="scsi" index="0" model="virtio-scsi">');
    expect(after).not.toContain("'");
  });

  it('keeps a document without line breaks in one line', () => {
    const line = CLEAN.replace(/\n */g, '').replace('<locked/>', '');
    expect(fixDomain(line, { profile: 'train', host: HOST }).xml).toBe(CLEAN.replace(/\n */g, ''));
  });

  it('gives two disks that move at once two names', () => {
    const two = CLEAN.replace(
      '  </devices>',
      "<disk><target dev='hda'/></disk><disk><target dev='hdb'/></disk>\n  </devices>",
    );
    const fixed = fixDomain(two, { profile: 'modern', host: HOST }).xml;
    expect(fixed.match(/dev='sd.'/g)).toEqual(["dev='sda'", "dev='sdb'", "dev='sdc'"]);
  });
});
