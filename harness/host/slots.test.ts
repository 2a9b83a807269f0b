import { describe, expect, it } from 'vitest';
import type { SevFacts } from './facts.ts';
import { openHost } from './host.ts';
import { parseHostName } from './name.ts';
import { capabilitiesOf, unmetNeeds } from './needs.ts';
import { advertisedLimits, hardwareLimits, poolOfDomainXml, slotLimit, slotRoom } from './slots.ts';

const naplesEs: SevFacts = {
  domainCapabilities: { cbitpos: 47, reducedPhysBits: 5, maxGuests: 11, maxEsGuests: 4 },
  launchSecurityTypes: [],
  loaders: [],
  refusedLoaders: {},
  nodeSevInfo: { maxGuests: 11, maxEsGuests: 4 },
  cpuid: { sev: true, sevEs: true, sevSnp: false, cbitpos: 47, reducedPhysBits: 5, maxAsid: 15, minSevAsid: 5 },
  misc: { sev: 11, sevEs: 4 },
  kvmParameters: { sev: true, sevEs: true },
  versions: {},
  hostname: 'lab7',
  emulatorPath: undefined,
  virtType: 'kvm',
  unknown: {},
};

describe('slotLimit', () => {
  it('takes the domain capabilities first', () => {
    expect(slotLimit(naplesEs, 'sev', 99)).toEqual({ pool: 'sev', limit: 11, source: 'domcapabilities' });
    expect(slotLimit(naplesEs, 'sev-es', undefined)).toEqual({ pool: 'sev-es', limit: 4, source: 'domcapabilities' });
  });

  it('falls back to nodesevinfo, then to what was configured', () => {
    const old = { ...naplesEs, domainCapabilities: { cbitpos: 47, reducedPhysBits: 5 } };
    expect(slotLimit(old, 'sev', 99)).toMatchObject({ limit: 11, source: 'nodesevinfo' });
    expect(slotLimit({ ...old, nodeSevInfo: {} }, 'sev', 99)).toMatchObject({ limit: 99, source: '--max-guests' });
  });

  it('refuses to guess', () => {
    const silent = { ...naplesEs, domainCapabilities: undefined, nodeSevInfo: undefined };
    expect(() => slotLimit(silent, 'sev', undefined)).toThrow(
      expect.objectContaining({ code: 'SLOT_LIMIT_UNKNOWN', hint: expect.stringContaining('--max-guests') }),
    );
  });
});

describe('slotRoom', () => {
  const promised = slotLimit(naplesEs, 'sev', undefined);

  it('is every free slot, also where more guests are allowed than there are', () => {
    const all = { free: 8, guests: 8, howMany: 'all 8 free', heldBack: undefined };
    expect(slotRoom(promised, 3, undefined)).toEqual(all);
    expect(slotRoom(promised, 3, 8)).toEqual(all);
  });

  it('ends where --max-guests says, with the reason why the limit is not reached', () => {
    expect(slotRoom(promised, 3, 2)).toEqual({
      free: 8,
      guests: 2,
      howMany: '2 of 8 free',
      heldBack: "--max-guests 2 holds this run below the host's limit of 11, of which 8 are free",
    });
  });

  it('is all of a limit that --max-guests itself names', () => {
    const silent = { ...naplesEs, domainCapabilities: undefined, nodeSevInfo: undefined };
    expect(slotRoom(slotLimit(silent, 'sev', 20), 3, 20)).toMatchObject({ guests: 17, heldBack: undefined });
  });
});

describe('limits by source', () => {
  it('counts ranges of ASIDs as libvirt does: SEV from the minimum up, SEV-ES below it', () => {
    expect(hardwareLimits(naplesEs, 'sev')).toEqual({ cpuid: 11, 'misc.capacity': 11 });
    expect(hardwareLimits(naplesEs, 'sev-es')).toEqual({ cpuid: 4, 'misc.capacity': 4 });
    expect(advertisedLimits(naplesEs, 'sev')).toEqual({ domcapabilities: 11, nodesevinfo: 11 });
  });

  it('leaves out what cannot be read', () => {
    expect(hardwareLimits({ ...naplesEs, cpuid: undefined, misc: undefined }, 'sev')).toEqual({});
  });
});

describe('poolOfDomainXml', () => {
  const domain = (security: string) => `<domain><name>x</name>${security}</domain>`;
  it.each([
    ['a plain guest', '', undefined],
    ['SEV', "<launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>", 'sev'],
    ['the ES bit of the policy', "<launchSecurity type='sev'><policy>0x0007</policy></launchSecurity>", 'sev-es'],
    [
      'a policy without 0x, which libvirt reads as hex too',
      "<launchSecurity type='sev'><policy>14</policy></launchSecurity>",
      'sev-es',
    ],
    [
      'SEV-SNP, which shares the range of SEV-ES',
      "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>",
      'sev-es',
    ],
    ['another kind of launch security', "<launchSecurity type='s390-pv'/>", undefined],
  ])('tells the pool of %s', (_, security, pool) => {
    expect(poolOfDomainXml(domain(security))).toBe(pool);
  });
});

describe('needs', () => {
  const met = (facts: SevFacts) =>
    Object.entries(capabilitiesOf(facts)).flatMap(([need, { met }]) => (met ? [need] : []));

  it('needs both conditions of the nova specification', () => {
    const corner = (libvirt: boolean, kernel: boolean): SevFacts => ({
      ...naplesEs,
      domainCapabilities: libvirt ? naplesEs.domainCapabilities : undefined,
      kvmParameters: { sev: kernel, sevEs: kernel },
    });
    expect(met(corner(true, true))).toEqual(['sev', 'sev-es']);
    expect(met(corner(true, false))).toEqual([]);
    expect(met(corner(false, true))).toEqual([]);
    expect(met(corner(false, false))).toEqual([]);
  });

  it('takes an unreadable kernel parameter as unknown, not as off', () => {
    expect(met({ ...naplesEs, kvmParameters: {} })).toEqual(['sev', 'sev-es']);
  });

  it('says why a need is not met', async () => {
    await using host = await openHost(parseHostName('fake:naples'));
    const noEs = {
      ...naplesEs,
      domainCapabilities: { cbitpos: 47, reducedPhysBits: 5, maxGuests: 15, maxEsGuests: 0 },
    };
    expect(await unmetNeeds(['sev', 'sev-es'], host, noEs)).toEqual([
      { need: 'sev-es', because: 'the host reserves no ASIDs for SEV-ES' },
    ]);
  });
});
