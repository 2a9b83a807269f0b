import type { SevFacts } from './facts.ts';

/** What a scenario may ask of a host. */
export type Need = 'sev' | 'sev-es' | 'sev-snp';

export const NEEDS: readonly Need[] = ['sev', 'sev-es', 'sev-snp'];

/** For each need whether the host meets it, and if not, why. */
export type Capabilities = Readonly<Record<Need, { readonly met: boolean; readonly because: string }>>;

/**
 * Both conditions of the nova specification, "AMD SEV libvirt support": libvirt says `<sev supported='yes'>` *and* the
 * kernel parameter is on; "the presence of the first does not imply the second". An unreadable parameter is unknown, not off.
 */
export function capabilitiesOf(facts: SevFacts): Capabilities {
  const sev = facts.domainCapabilities;
  const sevWhy = facts.domainCapabilities === undefined ? "domain capabilities say <sev supported='no'/>" : '';
  const kernelOff = (on: boolean | undefined, name: string) =>
    on === false ? `kvm_amd.${name} is off in the kernel` : '';
  const because = {
    sev: sevWhy || kernelOff(facts.kvmParameters.sev, 'sev'),
    'sev-es':
      sevWhy ||
      kernelOff(facts.kvmParameters.sevEs, 'sev_es') ||
      ((sev?.maxEsGuests ?? facts.nodeSevInfo?.maxEsGuests ?? 0) > 0 ? '' : 'the host reserves no ASIDs for SEV-ES'),
    'sev-snp':
      sevWhy ||
      (facts.kvmParameters.sevSnp === true ? '' : 'kvm_amd.sev_snp is not on in the kernel') ||
      (facts.launchSecurityTypes.includes('sev-snp') ? '' : 'libvirt does not offer launch security of type sev-snp'),
  };
  const entry = (need: Need) => ({ met: because[need] === '', because: because[need] });
  return { sev: entry('sev'), 'sev-es': entry('sev-es'), 'sev-snp': entry('sev-snp') };
}

export function unmetNeeds(needs: readonly Need[], capabilities: Capabilities): { need: Need; because: string }[] {
  return needs.filter((need) => !capabilities[need].met).map((need) => ({ need, because: capabilities[need].because }));
}
