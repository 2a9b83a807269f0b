import { createHash } from 'node:crypto';
import { p384Spki } from './p384.ts';
import type { SevCertificate } from './sev-certificate.ts';

/** A chip whose private endorsement key is known to others than the chip: whoever has it can sign any PEK. */
export interface DeniedChip {
  /** SHA-256 of the DER SubjectPublicKeyInfo of the CEK. */
  readonly cekSpkiSha256Hex: string;
  readonly what: string;
  readonly source: string;
}

export const DENIED_CHIPS: readonly DeniedChip[] = [
  {
    cekSpkiSha256Hex: '9558688689d7e1806a9f2240e4b6a5c9548ce45cb6f1ca6c039c2dddd4b04ba6',
    what: 'Naples chip 5E1FDB617787B6D5…75EEE069CB14: its CEK was extracted from the firmware',
    source:
      'R. Buhren, C. Werling, J.-P. Seifert, "Insecure Until Proven Updated: Analyzing AMD SEV\'s Remote Attestation", CCS 2019',
  },
];

/** The entry of the deny list that a CEK is on, by its public key: its certificate can be signed and encoded anew. */
export function deniedChip(cek: SevCertificate, denied: readonly DeniedChip[] = DENIED_CHIPS): DeniedChip | undefined {
  const fingerprint = ecSpkiSha256Hex(cek);
  return denied.find((chip) => chip.cekSpkiSha256Hex === fingerprint);
}

/** SHA-256 of the DER SubjectPublicKeyInfo of a certificate's P-384 key. */
export function ecSpkiSha256Hex(certificate: SevCertificate): string {
  return createHash('sha256').update(p384Spki(certificate.publicKey)).digest('hex');
}
