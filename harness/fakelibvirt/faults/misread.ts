import { cBitPosition } from '../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../qemu/launch.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import { requiresEs } from '../state/domain-xml/launch-security.ts';
import type { Machine } from '../state/machine.ts';

const OTHER_TYPE = /(<launchSecurity\b[^>]*?\btype=)(['"])(?!sev\2|sev-snp\2)[^'"]*\2/;

/** What a host reads where it does not look: faults of libvirt's parser. */
export function misreadDomain(machine: Machine, xml: string): string {
  let read = xml;
  if (OTHER_TYPE.test(read) && machine.has('launch-security-type-unchecked'))
    read = read.replace(OTHER_TYPE, '$1$2sev$2');
  const lacksPolicy = read.includes('</launchSecurity>') && !read.includes('<policy>');
  if (lacksPolicy && machine.has('policy-optional'))
    read = read.replace('</launchSecurity>', '<policy>0x0003</policy></launchSecurity>');
  return read;
}

/** The domain capabilities of a host that tells the wrong ones. */
export function misreportCapabilities(machine: Machine, xml: string): string {
  let told = xml;
  if (machine.has('uefi-not-offered')) told = told.replace(/<value>[^<]*\.fd<\/value>\s*/g, '');
  if (machine.has('cbitpos-misreported'))
    told = told.replace(/<cbitpos>(\d+)</, (_, position: string) => `<cbitpos>${Number(position) - 1}<`);
  return told;
}

const USUAL_LOADER = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const POLICY_ES = 1 << 2;

/** What QEMU launches where it does not check what it was asked for. */
export function uncheckedLaunch(machine: Machine, definition: DomainDefinition): DomainDefinition {
  const security = definition.launchSecurity;
  if (security?.type !== 'sev') return definition;
  const { cbitpos, reducedPhysBits } = security;
  const isCbitposWrong = cbitpos !== undefined && cbitpos !== cBitPosition(machine.profile.memoryEncryption);
  const isReductionWrong = reducedPhysBits !== undefined && reducedPhysBits !== REPORTED_REDUCED_PHYS_BITS;
  const { loader } = definition;
  const isUsual = loader === undefined || loader.path === USUAL_LOADER;
  return {
    ...definition,
    ...(!isUsual && machine.has('loader-ignored') ? { loader: { ...loader, path: USUAL_LOADER } } : {}),
    launchSecurity: {
      ...security,
      ...(security.kernelHashes === 'yes' && machine.has('kernel-hashes-ignored') ? { kernelHashes: 'no' } : {}),
      ...(isCbitposWrong && machine.has('cbitpos-unchecked') ? { cbitpos: undefined } : {}),
      ...(isReductionWrong && machine.has('reduced-phys-bits-unchecked') ? { reducedPhysBits: undefined } : {}),
      ...(requiresEs(security) && machine.has('es-policy-ignored') ? { policy: security.policy & ~POLICY_ES } : {}),
    },
  };
}
