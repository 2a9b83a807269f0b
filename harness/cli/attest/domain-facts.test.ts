import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCpuSignature, parseDomainFacts } from './domain-facts.ts';

describe('parseDomainFacts', () => {
  it('reads what a launch depends on', () => {
    const xml = `<domain type='kvm'><os><loader stateless='yes'>/OVMF.fd</loader><kernel>/k</kernel><initrd>/i</initrd></os>
      <launchSecurity type='sev' kernelHashes='yes'><dhCert>AAAA</dhCert><session> BBBB\n</session></launchSecurity></domain>`;
    expect(parseDomainFacts(xml)).toEqual({
      launchSecurity: 'sev',
      kernelHashes: true,
      dhCert: 'AAAA',
      session: 'BBBB',
      hasNvram: false,
      loader: '/OVMF.fd',
      kernel: '/k',
      initrd: '/i',
      cmdline: undefined,
    });
  });

  it('keeps a command line to the last space, and decodes its entities', () => {
    const xml = '<domain><os><cmdline> a=&quot;b&quot; &amp; c&lt;d &#x41;&#66; </cmdline></os></domain>';
    expect(parseDomainFacts(xml).cmdline).toBe(' a="b" & c<d AB ');
  });

  it.each(['<nvram/>', "<nvram template='x'>y</nvram>", '<nvram></nvram>'])('sees NVRAM in %s', (nvram) => {
    expect(parseDomainFacts(`<domain><os>${nvram}</os></domain>`).hasNvram).toBe(true);
  });

  it('reads only the domain itself: comments, metadata and names of objects say nothing', () => {
    const inside = "<launchSecurity type='sev'><session>x</session></launchSecurity>";
    for (const xml of [
      `<domain><!-- ${inside} --></domain>`,
      `<domain><metadata>${inside}</metadata></domain>`,
      '<domain><constructor/><__proto__><launchSecurity type="sev"/></__proto__></domain>',
    ]) {
      expect(parseDomainFacts(xml)).toMatchObject({ launchSecurity: undefined, session: undefined });
    }
  });

  it('takes any text without a crash', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parseDomainFacts(text) !== undefined));
    const pieces = fc.constantFrom(
      '<domain>',
      '<os>',
      '</os>',
      '</domain>',
      '<!DOCTYPE x [',
      '<![CDATA[',
      ']]>',
      '&x;',
      '<a b=',
      "'",
      '<nvram',
    );
    fc.assert(fc.property(fc.array(pieces), (parts) => parseDomainFacts(parts.join('')) !== undefined));
  });
});

describe('parseCpuSignature', () => {
  it("reads the host's CPU, or says that it is not stated", () => {
    const cpu = "<cpu><arch>x86_64</arch><signature family='25' model='1' stepping='1'/></cpu>";
    expect(parseCpuSignature(`<capabilities><host>${cpu}</host></capabilities>`)).toEqual({
      family: '25',
      model: '1',
      stepping: '1',
    });
    expect(parseCpuSignature('<capabilities><host><cpu/></host></capabilities>')).toBeUndefined();
    expect(
      parseCpuSignature("<capabilities><host><cpu><signature family='25'/></cpu></host></capabilities>"),
    ).toBeUndefined();
  });
});
