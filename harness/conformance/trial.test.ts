import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { currentOwner, guestName } from '../guest/ownership.ts';
import { type GuestKind, guestXml } from '../guest/spec.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { lintDomain } from './lint.ts';
import { enforcedMutants, mutantXml, sentenceOf } from './mutants.ts';
import { PROFILES } from './rule.ts';
import { tryDomain } from './trial.ts';

const owner = currentOwner('test');
const name = guestName('test', 'one');
let host: Host;
let facts: SevFacts;

beforeAll(async () => {
  host = await openHost({ kind: 'emulated', text: 'fake:naples', profile: 'naples' });
  facts = await readSevFacts(host);
});
afterAll(() => host.close());

const guest = (kind: GuestKind) => guestXml({ name, kind, memoryMiB: 256 }, facts, owner);
const lint = (xml: string, profile: 'train' | 'modern') =>
  lintDomain(xml, { profile, ...(facts.domainCapabilities && { host: facts.domainCapabilities }) }).findings;

describe('guests that we build', () => {
  it.each(PROFILES)('are clean under profile %s: SEV', (profile) => {
    expect(lint(guest('sev'), profile)).toEqual([]);
  });

  it('are clean under the modern profile, and only too new for the seed documents: SEV-ES', () => {
    expect(lint(guest('sev-es'), 'modern')).toEqual([]);
    expect(lint(guest('sev-es'), 'train').map(({ rule }) => rule)).toEqual(['POLICY-NOT-0x0033']);
  });

  it('have no rules to keep: plain', () => {
    expect(lint(guest('plain'), 'train')).toEqual([]);
  });
});

describe('a trial', () => {
  it('says that a conformant guest started, and leaves nothing', async () => {
    expect(await tryDomain(host.connection, name, guest('sev'))).toEqual({
      ...{ outcome: 'started', text: '', diagnosis: '', isLeft: false },
    });
    expect(await host.connection.listDomains()).toEqual([]);
  });

  it.each(enforcedMutants.map((mutant) => [mutant.title, mutant] as const))('%s', async (_, mutant) => {
    const xml = mutantXml(guest('sev'), mutant) ?? '';
    expect(lint(xml, mutant.profile).map(({ rule }) => rule)).toEqual([mutant.rule]);
    const trial = await tryDomain(host.connection, name, xml);
    expect(trial).toMatchObject({ outcome: `refused at ${mutant.refusedAt}`, isLeft: false });
    expect(mutant.diagnoses).toContain(trial.diagnosis);
    expect(sentenceOf(mutant)).toMatch(/^nova specification: "/);
    expect(await host.connection.listDomains()).toEqual([]);
  });

  it('changes nothing in a guest without launch security', () => {
    for (const mutant of enforcedMutants) expect(mutantXml(guest('plain'), mutant)).toBeUndefined();
  });
});
