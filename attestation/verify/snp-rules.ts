import type { X509Certificate } from '../snp/x509.ts';
import { type Decision, failed, passed } from './chain-ledger.ts';

/** Every promise that a SEV-SNP verdict can make, by its stable id. */
export type SnpRowId =
  | 'snp.ark-well-formed'
  | 'snp.ark-pinned'
  | 'snp.root-is-amd'
  | 'snp.root-of-product'
  | 'snp.ark-self-signed'
  | 'snp.ark-valid-at-time'
  | 'snp.ask-well-formed'
  | 'snp.ca-names'
  | 'snp.ask-valid-at-time'
  | 'snp.ask-signed-by-ark'
  | 'snp.crl-signed-by-ark'
  | 'snp.crl-fresh'
  | 'snp.ca-not-revoked'
  | 'snp.vek-well-formed'
  | 'snp.vek-names'
  | 'snp.vek-valid-at-time'
  | 'snp.vek-signed-by-ca'
  | 'snp.report-signing-key'
  | 'snp.report-cpu-of-product'
  | 'snp.report-signature'
  | 'snp.report-tcb-matches-vek'
  | 'snp.report-chip-id-matches-vek'
  | 'snp.report-data-binds-runtime-data';

export const SNP_SPEC = {
  kds: 'AMD 57230, VCEK Certificate and KDS Interface, chapter 3',
  x509: 'RFC 5280, section 4.1',
  crl: 'RFC 5280, section 5.1',
  pins: "AMD's ARK and ASK certificates, by SHA-256 of SubjectPublicKeyInfo",
  report: 'SEV-SNP ABI 56860 rev 1.58, section 7.3',
  hcl: 'Azure confidential VM guest attestation, HCL report',
} as const;

/** notBefore and notAfter both belong to the validity (RFC 5280, section 4.1.2.5). */
export function validAt(certificate: X509Certificate | undefined, at: Date, hint: string): Decision {
  if (certificate === undefined) return failed('no certificate');
  const { notBefore, notAfter } = certificate;
  const values = { expected: `${notBefore.toISOString()} to ${notAfter.toISOString()}`, actual: shownTime(at) };
  if (at < notBefore) return failed('it is not valid yet', { ...values, hint });
  return at <= notAfter ? passed : failed('it has expired', { ...values, hint });
}

export function shownTime(at: Date): string {
  return Number.isNaN(at.getTime()) ? 'no time' : at.toISOString();
}
