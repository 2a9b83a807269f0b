import type { Version } from '../../profiles/profile.ts';
import { isAtLeast } from '../../profiles/profile.ts';
import { refusal } from '../../refusal.ts';
import { child, element, text, type XmlElement } from '../xml/tree.ts';
import { enumAttribute, parseUint, requiredEnumAttribute } from './values.ts';

export type LaunchSecurity = SevLaunchSecurity | { readonly type: 's390-pv' } | { readonly type: 'sev-snp' };

export interface SevLaunchSecurity {
  readonly type: 'sev';
  readonly policy: number;
  readonly cbitpos: number | undefined;
  readonly reducedPhysBits: number | undefined;
  readonly kernelHashes: 'yes' | 'no' | undefined;
  readonly dhCert: string | undefined;
  readonly session: string | undefined;
}

/** Bit 2 of the guest policy: the guest's registers are encrypted as well (SEV API, table 2). */
const POLICY_ES = 1 << 2;

export function requiresEs(security: SevLaunchSecurity): boolean {
  return (security.policy & POLICY_ES) !== 0;
}

/** libvirt takes the first element and never looks at a second one. */
export function parseLaunchSecurity(domain: XmlElement, libvirt: Version): LaunchSecurity | undefined {
  const source = child(domain, 'launchSecurity');
  if (source === undefined) return undefined;
  const knowsSnp = isAtLeast(libvirt, [10, 5, 0]);
  const type = requiredEnumAttribute(source, 'type', knowsSnp ? ['sev', 'sev-snp', 's390-pv'] : ['sev', 's390-pv']);
  if (type !== 'sev') return { type };
  const kernelHashes = enumAttribute(source, 'kernelHashes', ['yes', 'no']);
  const policy = parseUint(text(child(source, 'policy')) ?? '', 16);
  if (policy === undefined) throw refusal('XML_ERROR', 'DOMAIN', 'failed to get launch security policy');
  return {
    type,
    policy,
    cbitpos: optionalUint(source, 'cbitpos', 'cbitpos'),
    reducedPhysBits: optionalUint(source, 'reducedPhysBits', 'reduced-phys-bits'),
    kernelHashes,
    dhCert: optionalText(source, 'dhCert'),
    session: optionalText(source, 'session'),
  };
}

function optionalText(source: XmlElement, name: string): string | undefined {
  return text(child(source, name)) || undefined;
}

function optionalUint(source: XmlElement, name: string, words: string): number | undefined {
  const given = optionalText(source, name);
  if (given === undefined) return undefined;
  const value = parseUint(given, 10);
  if (value === undefined) throw refusal('XML_ERROR', 'DOMAIN', `Invalid format for launch security ${words}`);
  return value;
}

/** As libvirt prints it: C-bit and reduction first, the policy in four hex digits. */
export function launchSecurityElement(security: LaunchSecurity, source: XmlElement): XmlElement {
  if (security.type !== 'sev') return source;
  const leaf = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : [element(name, {}, [String(value)])];
  return element('launchSecurity', { type: 'sev', kernelHashes: security.kernelHashes }, [
    ...leaf('cbitpos', security.cbitpos),
    ...leaf('reducedPhysBits', security.reducedPhysBits),
    ...leaf('policy', `0x${security.policy.toString(16).padStart(4, '0')}`),
    ...leaf('dhCert', security.dhCert),
    ...leaf('session', security.session),
  ]);
}
