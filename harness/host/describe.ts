import type { HostFacts } from '../../reports/model/run.ts';
import { isProfileName, type Profile, profiles } from '../fakelibvirt/index.ts';
import type { SevFacts } from './facts.ts';
import type { Host } from './host.ts';
import { capabilitiesOf, FACT_NEEDS } from './needs.ts';
import type { PreflightSummary } from './preflight/index.ts';
import { advertisedLimits, hardwareLimits, type SlotPool } from './slots.ts';

const EMULATED = [
  'The host is emulated: this run says nothing about any processor, firmware, kernel, QEMU or libvirt.',
  'Its firmware and its memory encryption are models of ours, and its guests execute no code.',
];

/** What the report says about the host: what it is, what it offers, and what a run on it cannot show. */
export function hostFactsOf(host: Host, facts: SevFacts, preflight: PreflightSummary): HostFacts {
  const capabilities = capabilitiesOf(facts);
  const profile = host.profile !== undefined && isProfileName(host.profile) ? profiles[host.profile] : undefined;
  return {
    name: host.name,
    uri: host.connection.uri,
    kind: host.kind,
    hostname: facts.hostname,
    ...(profile === undefined ? {} : { profile: profile.name, generation: profile.cpu.brand }),
    versions: { ...facts.versions, ...firmwareVersions(profile) },
    capabilities: FACT_NEEDS.filter((need) => capabilities[need].met),
    facts: { ...factLines(facts), ...preflight.facts },
    notVerified: [...(host.kind === 'emulated' ? EMULATED : []), ...preflight.notVerified],
  };
}

function firmwareVersions(profile: Profile | undefined): Record<string, string> {
  if (profile === undefined) return {};
  const { sevFirmware, ovmf } = profile;
  return {
    ...(sevFirmware === undefined
      ? {}
      : { sevFirmware: `${sevFirmware.apiMajor}.${sevFirmware.apiMinor} build ${sevFirmware.build}` }),
    guestFirmware: ovmf,
  };
}

function factLines(facts: SevFacts): Record<string, string> {
  const lines: Record<string, string> = {};
  for (const pool of ['sev', 'sev-es'] satisfies SlotPool[]) {
    const numbers = { ...advertisedLimits(facts, pool), ...hardwareLimits(facts, pool) };
    const text = Object.entries(numbers).map(([source, value]) => `${source} ${value}`);
    if (text.length > 0) lines[`${pool} slots`] = text.join(', ');
  }
  if (facts.esRefusal !== undefined)
    lines['sev-es slots'] =
      `${lines['sev-es slots'] ?? 'no number known'}; the firmware refuses SEV-ES: ${facts.esRefusal}`;
  if (facts.domainCapabilities !== undefined)
    lines['C-bit'] =
      `${facts.domainCapabilities.cbitpos}, ${facts.domainCapabilities.reducedPhysBits} physical address bits fewer (domcapabilities)`;
  lines['guest type'] = facts.virtType;
  return lines;
}
