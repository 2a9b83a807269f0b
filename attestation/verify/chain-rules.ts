import type { Algorithm, Usage } from '../abi/codes.ts';
import { isOnCurve } from '../certs/p384.ts';
import type { SevCertificate } from '../certs/sev-certificate.ts';
import { type Decision, failed, passed } from './chain-ledger.ts';

/** Every promise that a chain verdict can make, by its stable id. */
export type ChainRowId =
  | 'chain.ark-well-formed'
  | 'chain.ark-pinned'
  | 'chain.root-is-amd'
  | 'chain.root-of-product'
  | 'chain.ark-self-signed'
  | 'chain.ask-well-formed'
  | 'chain.ca-ids-consistent'
  | 'chain.ask-signed-by-ark'
  | 'chain.cek-well-formed'
  | 'chain.cek-not-revoked'
  | 'chain.cek-signed-by-ask'
  | 'chain.oca-well-formed'
  | 'chain.oca-self-signed'
  | 'chain.pek-well-formed'
  | 'chain.pek-signed-by-oca'
  | 'chain.pek-signed-by-cek'
  | 'chain.pdh-well-formed'
  | 'chain.pdh-signed-by-pek';

export const SPEC = {
  sev: 'SEV API 55766 rev 3.24, appendix C.1',
  ca: 'SEV API 55766 rev 3.24, appendix C.2',
  pins: "AMD's published ask_ark_<product>.cert files, by SHA-256 of SubjectPublicKeyInfo",
  denied: 'published key extractions',
} as const;

type Role = 'PDH' | 'PEK' | 'OCA' | 'CEK';

const ROLE_RULES: Readonly<Record<Role, { algorithm: Algorithm; signers: readonly Usage[] }>> = {
  CEK: { algorithm: 'ECDSA-SHA256', signers: ['ASK'] },
  OCA: { algorithm: 'ECDSA-SHA256', signers: ['OCA'] },
  PEK: { algorithm: 'ECDSA-SHA256', signers: ['OCA', 'CEK'] },
  PDH: { algorithm: 'ECDH-SHA256', signers: ['PEK'] },
};

/** Usage, algorithm, point and signers that a certificate must have to stand in a role; says all that is wrong. */
export function sevCertificateProblems(certificate: SevCertificate, role: Role): Decision {
  const rules = ROLE_RULES[role];
  const problems: string[] = [];
  if (certificate.usage !== role) problems.push(`its key usage is ${certificate.usage}, expected ${role}`);
  if (certificate.algorithm !== rules.algorithm) {
    problems.push(`its key algorithm is ${certificate.algorithm}, expected ${rules.algorithm}`);
  }
  if (!isOnCurve(certificate.publicKey)) problems.push('its public key is not a point on P-384');
  const signers = certificate.slots.flatMap((slot) => (slot === undefined ? [] : [slot.signer]));
  const foreign = signers.filter((signer) => !rules.signers.includes(signer));
  if (foreign.length > 0) {
    problems.push(`it is signed by ${foreign.join(' and ')}, expected ${rules.signers.join(' and ')}`);
  }
  if (new Set(signers).size < signers.length) problems.push(`both signature slots name ${signers[0]}`);
  return problems.length === 0 ? passed : failed(problems.join('; '));
}
