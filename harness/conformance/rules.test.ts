import { describe, expect, it } from 'vitest';
import { ruleCatalogue } from './catalogue.ts';
import { fixDomain, lintDomain } from './lint.ts';
import { PROFILES, type ProfileName } from './rule.ts';
import { CLEAN, changed, fineDomains, HOST, LAUNCH_SECURITY, SNP, withDevice } from './testing/domains.ts';
import { ruleSamples } from './testing/rule-samples.ts';

const findingsOf = (xml: string, profile: ProfileName) => lintDomain(xml, { profile, host: HOST }).findings;
const rulesOf = (xml: string, profile: ProfileName) => findingsOf(xml, profile).map(({ rule }) => rule);
const samples = ruleSamples.map((sample) => [sample.rule, sample.profile, sample] as const);

describe('a conformant guest', () => {
  it.each(PROFILES)('has no finding under profile %s', (profile) => {
    expect(findingsOf(CLEAN, profile)).toEqual([]);
  });

  it('has no finding as an SNP guest under the modern profile', () => {
    expect(findingsOf(SNP, 'modern')).toEqual([]);
  });

  it.each(fineDomains)('may have %s', (_, profile, xml) => {
    expect(rulesOf(xml, profile)).toEqual([]);
  });
});

describe('each rule', () => {
  it.each(samples)('%s (%s) is found by itself', (_, __, sample) => {
    const findings = findingsOf(sample.xml, sample.profile);
    expect(findings.map(({ rule }) => rule).sort()).toEqual([sample.rule, ...(sample.also ?? [])].sort());
    const finding = findings.find(({ rule }) => rule === sample.rule);
    expect(finding?.severity).toBe(sample.severity);
    if (sample.place !== undefined) expect(finding?.location).toBe(sample.place);
    expect(finding?.message).not.toBe('');
    expect(finding?.source).toMatch(
      /^(nova specification|libvirt article|nova|SEV-SNP firmware ABI|libvirt documentation|QEMU|Linux): ./,
    );
    expect(finding?.suggestion).not.toBe('');
  });

  it.each(samples)('%s (%s): --fix gives a clean twin, or leaves the text alone', (_, __, sample) => {
    const fixed = fixDomain(sample.xml, { profile: sample.profile, host: HOST });
    if (sample.isForPeople) expect(fixed.xml).toBe(sample.xml);
    else expect(fixed.findings).toEqual([]);
  });

  it('has a sample in every profile that has the rule', () => {
    const key = (rule: string, profile: string) => `${rule.replace(/:.*/, '')} ${profile}`;
    const sampled = new Set(ruleSamples.map(({ rule, profile }) => key(rule, profile)));
    const declared = ruleCatalogue.flatMap(({ id, severity }) =>
      PROFILES.filter((profile) => severity[profile] !== undefined).map((profile) => key(id, profile)),
    );
    expect(declared.filter((rule) => !sampled.has(rule))).toEqual([]);
  });

  it('has an id of its own', () => {
    const ids = ruleCatalogue.map(({ id }) => id);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });
});

describe('a domain without <launchSecurity>', () => {
  const bare = changed(CLEAN, [LAUNCH_SECURITY, ''], ['    <locked/>\n', ''], ["<driver iommu='on'/>", '']);
  const metadata = (xml: string) =>
    changed(bare, ['  <memory ', `  <metadata><n:instance>${xml}</n:instance></metadata>\n  <memory `]);

  it('has no rules to keep when nothing asks for encryption', () => {
    expect(lintDomain(bare, { profile: 'train' })).toEqual({ isEncrypted: false, findings: [] });
  });

  it.each([
    ['a flavor', "<n:extraSpec name='hw:mem_encryption'>true</n:extraSpec>"],
    ['an image', "<n:property name='hw_mem_encryption'>1</n:property>"],
    ['a slot', "<n:extraSpec name='resources:MEM_ENCRYPTION_CONTEXT'>1</n:extraSpec>"],
  ])('is found out by nova metadata that asked for it: %s', (_, xml) => {
    expect(rulesOf(metadata(xml), 'modern')).toEqual(['LS-MISSING']);
  });

  it.each([
    ['said no', "<n:extraSpec name='hw:mem_encryption'>false</n:extraSpec>"],
    ['only named a model', "<n:extraSpec name='hw:mem_encryption_model'>amd-sev-es</n:extraSpec>"],
  ])('is left alone when the flavor %s', (_, xml) => {
    expect(rulesOf(metadata(xml), 'modern')).toEqual([]);
  });

  it('may lock its memory for real time', () => {
    const realtime = changed(bare, ['  </memoryBacking>', '    <hugepages/><locked/>\n  </memoryBacking>']);
    expect(rulesOf(realtime, 'modern')).toEqual([]);
  });

  it("may have iommu='on' for a virtual IOMMU", () => {
    const iommu = changed(CLEAN, [LAUNCH_SECURITY, ''], ['    <locked/>\n', ''], withDevice("<iommu model='intel'/>"));
    expect(rulesOf(iommu, 'modern')).toEqual([]);
  });

  it('gets <launchSecurity> from --fix when the host is known, and in the modern profile always', () => {
    const asked = metadata("<n:extraSpec name='hw:mem_encryption'>true</n:extraSpec>");
    expect(fixDomain(asked, { profile: 'modern' }).xml).toContain('<policy>0x0033</policy>');
    expect(fixDomain(asked, { profile: 'train' }).xml).toBe(asked);
    expect(fixDomain(asked, { profile: 'train', host: HOST }).xml).toContain('<cbitpos>47</cbitpos>');
  });
});

it('says who refuses an SNP policy without bit 17: KVM, before the firmware sees it', () => {
  const [finding] = findingsOf(changed(SNP, ['0x00030000', '0x00010000']), 'modern');
  expect(finding?.message).toBe('the SNP policy 0x00010000 has bit 17 clear: KVM refuses to launch it (EINVAL)');
});

describe('on i440fx', () => {
  const legacy = (...devices: string[]) =>
    changed(
      CLEAN,
      ['pc-q35-7.2', 'pc-i440fx-7.2'],
      ["model='virtio-scsi'", "model='virtio-non-transitional'"],
      ...devices.map(withDevice),
    );

  it('asks for virtio 1.0 of every device, quoting the article', () => {
    const findings = findingsOf(
      legacy("<rng model='virtio'/>", "<interface><model type='virtio'/></interface>"),
      'modern',
    );
    expect(findings.map(({ rule, location }) => [rule, location.split(' ')[0]])).toEqual([
      ['MACHINE-NOT-Q35', '/domain/os/type'],
      ['MACHINE-NOT-Q35', '/domain/devices/rng'],
      ['MACHINE-NOT-Q35', '/domain/devices/interface'],
    ]);
    expect(findings[1]?.source).toBe('libvirt article: "SEV will not work with Virtio <1.0"');
  });

  it('has nothing against devices that QEMU has as virtio 1.0 only', () => {
    const input = legacy("<input type='tablet' bus='virtio'/>", "<crypto model='virtio'/>");
    expect(rulesOf(input, 'modern')).toEqual(['MACHINE-NOT-Q35']);
  });

  it('asks it of a transitional device once', () => {
    const rng = legacy("<rng model='virtio-transitional'/>");
    expect(rulesOf(rng, 'modern')).toEqual(['MACHINE-NOT-Q35', 'VIRTIO-TRANSITIONAL']);
  });

  it('knows that a virtio video device cannot be helped', () => {
    const findings = findingsOf(legacy("<video><model type='virtio'/></video>"), 'modern');
    expect(findings[1]?.source).toContain('virtio GPU cannot be used');
  });

  it('leaves a domain with PCI addresses to people: they do not exist on q35', () => {
    const addressed = legacy("<rng model='virtio-non-transitional'><address type='pci' slot='0x03'/></rng>");
    expect(fixDomain(addressed, { profile: 'modern', host: HOST }).xml).toBe(addressed);
  });

  it('lets IDE be: that machine type has it', () => {
    expect(rulesOf(legacy("<disk device='cdrom'><target dev='hda' bus='ide'/></disk>"), 'modern')).toEqual([
      'MACHINE-NOT-Q35',
    ]);
  });
});

describe('without knowing the host', () => {
  it('judges no value of cbitpos, and of reducedPhysBits only what every host refuses', () => {
    const lint = (from: string, to: string) =>
      lintDomain(changed(CLEAN, [from, to]), { profile: 'train' }).findings.map(({ rule }) => rule);
    expect(lint('>47<', '>51<')).toEqual([]);
    expect(lint('Bits>1<', 'Bits>5<')).toEqual([]);
    expect(lint('Bits>1<', 'Bits>0<')).toEqual(['REDUCEDPHYSBITS-MISMATCH']);
  });

  it('finds what is missing, and says that --host would tell the value', () => {
    const missing = changed(CLEAN, ['    <cbitpos>47</cbitpos>\n', '']);
    const report = fixDomain(missing, { profile: 'train' });
    expect(report.xml).toBe(missing);
    expect(report.findings[0]?.suggestion).toContain('--host');
  });
});
