import type { SevFacts } from './facts.ts';
import type { Host } from './host.ts';
import { findMeasuredBootImage } from './measured-boot.ts';

/** Needs that the facts decide. */
export type FactNeed = 'sev' | 'sev-es' | 'sev-snp';
/** What a scenario may ask of a host. */
export type Need = FactNeed | 'kernel-hashes';

export const FACT_NEEDS: readonly FactNeed[] = ['sev', 'sev-es', 'sev-snp'];
export const NEEDS: readonly Need[] = [...FACT_NEEDS, 'kernel-hashes'];

/** For each need whether the host meets it, and if not, why. */
export type Capabilities = Readonly<Record<FactNeed, { readonly met: boolean; readonly because: string }>>;

export interface UnmetNeed {
  readonly need: Need;
  readonly because: string;
}

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
      ((sev?.maxEsGuests ?? facts.nodeSevInfo?.maxEsGuests ?? 0) > 0 ? '' : 'the host reserves no ASIDs for SEV-ES') ||
      (facts.esRefusal === undefined ? '' : `the firmware refuses SEV-ES while SEV-SNP is on: ${facts.esRefusal}`),
    'sev-snp':
      sevWhy ||
      (facts.kvmParameters.sevSnp === true ? '' : 'kvm_amd.sev_snp is not on in the kernel') ||
      (facts.launchSecurityTypes.includes('sev-snp') ? '' : 'libvirt does not offer launch security of type sev-snp'),
  };
  const entry = (need: FactNeed) => ({ met: because[need] === '', because: because[need] });
  return { sev: entry('sev'), 'sev-es': entry('sev-es'), 'sev-snp': entry('sev-snp') };
}

/** Which of the needs the host does not meet. Kernel hashes are looked for in its guest firmware, and only when asked for. */
export async function unmetNeeds(needs: readonly Need[], host: Host, facts: SevFacts): Promise<UnmetNeed[]> {
  const capabilities = capabilitiesOf(facts);
  const judged = await Promise.all(
    needs.map(async (need) => ({
      need,
      because: need === 'kernel-hashes' ? await whyNoKernelHashes(host, facts) : capabilities[need].because,
    })),
  );
  return judged.filter(({ because }) => because !== '');
}

async function whyNoKernelHashes(host: Host, facts: SevFacts): Promise<string> {
  const found = await findMeasuredBootImage(host, facts);
  return 'because' in found ? found.because : '';
}
