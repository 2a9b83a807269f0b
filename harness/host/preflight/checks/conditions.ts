import { isOn } from '../parse.ts';
import { known, type PreflightReadings } from '../readings.ts';
import { type Finding, type PreflightCheck, unread } from '../row.ts';

export type Answer = 'yes' | 'no' | 'unknown';

/** Both conditions of the nova specification: "both checks are required, since the presence of the first does not imply the second". */
export interface TruthTable {
  readonly domainCapabilities: Answer;
  readonly kernelParameter: Answer;
  /** Yes when both are yes, no when one is no. */
  readonly sev: Answer;
}

export function truthTableOf({ libvirt, kvmAmd }: PreflightReadings): TruthTable {
  const domainCapabilities =
    libvirt.outcome !== 'read' ? 'unknown' : libvirt.value.domainCapabilities === undefined ? 'no' : 'yes';
  const kernelParameter = kvmAmd.sev.outcome === 'unknown' ? 'unknown' : isOn(known(kvmAmd.sev) ?? '') ? 'yes' : 'no';
  const both = [domainCapabilities, kernelParameter];
  const sev = both.includes('no') ? 'no' : both.includes('unknown') ? 'unknown' : 'yes';
  return { domainCapabilities, kernelParameter, sev };
}

function conditions(readings: PreflightReadings): Finding {
  const { domainCapabilities, kernelParameter, sev } = truthTableOf(readings);
  const found = `domain capabilities ${domainCapabilities}, kernel parameter ${kernelParameter}`;
  const expected = 'domain capabilities yes, kernel parameter yes';
  if (sev === 'yes') return { outcome: 'pass', found, expected };
  if (sev === 'unknown')
    return {
      outcome: 'unknown',
      found,
      expected,
      because:
        kernelParameter === 'unknown'
          ? (unread(readings.kvmAmd.sev).because ?? '')
          : (unread(readings.libvirt).because ?? ''),
    };
  return { outcome: 'fail', found, expected, ...unmet(domainCapabilities, kernelParameter) };
}

/** What the corner of the truth table means; the rows above say why the host is in it. */
function unmet(domainCapabilities: Answer, kernelParameter: Answer): { because: string; hint: string } {
  if (kernelParameter === 'yes')
    return {
      because: 'the kernel has SEV on, and libvirt does not offer it',
      hint: "Follow the row 'libvirt and QEMU offer SEV', or the row that skipped it.",
    };
  if (domainCapabilities === 'yes')
    return {
      because: 'libvirt offers SEV, and the kernel has it off: libvirt answers from a cache of before',
      hint: 'Switch SEV on in the kernel (mem_encrypt=on kvm_amd.sev=1) and let libvirt probe QEMU again.',
    };
  return {
    because: 'SEV is not usable on this host',
    hint: 'Begin with the first row that failed: what is below it in the stack cannot work before.',
  };
}

export const conditionChecks: readonly PreflightCheck[] = [
  {
    id: 'sev.conditions',
    title: 'Both conditions for SEV',
    source: 'nova specification, "Proposed change": domain capabilities and kernel parameter, both required',
    evaluate: conditions,
  },
];
