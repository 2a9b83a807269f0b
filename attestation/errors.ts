import { type ErrorCatalogue, errorFactory } from '../core/errors.ts';

/** Malformed input and misuse of the attestation library. A well-formed but wrong thing is a row, not an error. */
export const attestationErrors = {
  CA_CERTIFICATE_MALFORMED: {
    kind: 'product',
    summary: 'Bytes that are not an AMD CA certificate (ARK or ASK) in the SEV binary form.',
  },
  CHAIN_CERTIFICATES_CONFLICT: {
    kind: 'product',
    summary: 'Two different certificates were given for one place in the chain.',
  },
  CHAIN_CERTIFICATE_MISPLACED: {
    kind: 'product',
    summary: 'A certificate stands where the export order puts another one.',
  },
  CHAIN_FILE_UNKNOWN: {
    kind: 'product',
    summary: 'A file that has none of the lengths that SEV certificates and their exports have.',
  },
  CHIP_ID_INVALID: { kind: 'usage', summary: "Bytes that are not one socket's GET_ID answer." },
  CPU_SIGNATURE_INVALID: {
    kind: 'usage',
    summary: 'A CPU family, model or stepping that the CPUID signature cannot hold.',
  },
  CRL_MALFORMED: { kind: 'product', summary: 'Bytes that are not a certificate revocation list in DER.' },
  EC_POINT_INVALID: { kind: 'product', summary: 'An elliptic curve point that is not on P-384.' },
  EC_SCALAR_INVALID: { kind: 'usage', summary: 'A private key outside 1..n-1 of P-384, or of another length.' },
  GODH_INVALID: { kind: 'product', summary: 'A guest owner certificate whose body the firmware would refuse.' },
  GUID_INVALID: { kind: 'usage', summary: 'Text that is not a GUID.' },
  HCL_REPORT_MALFORMED: { kind: 'product', summary: 'Bytes that are not the HCL report of an Azure guest.' },
  ID_BLOCK_MALFORMED: { kind: 'product', summary: 'Bytes that are not a SEV-SNP ID block or ID authentication page.' },
  KDS_URL_INVALID: {
    kind: 'usage',
    summary: "An address, or parts of one, that AMD's Key Distribution Service does not have.",
  },
  KERNEL_CMDLINE_INVALID: { kind: 'usage', summary: 'A kernel command line that no hypervisor could have passed.' },
  KERNEL_HASHES_MALFORMED: {
    kind: 'usage',
    summary: 'Bytes that are not the table of kernel, initrd and command line hashes.',
  },
  LAUNCH_INPUT_INVALID: {
    kind: 'usage',
    summary: 'A number or combination of launch inputs that no SEV guest can have.',
  },
  LAUNCH_MEASUREMENT_MALFORMED: {
    kind: 'product',
    summary: 'Bytes or text that are not a launch measurement followed by its nonce.',
  },
  OVMF_MALFORMED: { kind: 'usage', summary: 'A guest firmware whose table of GUIDed entries breaks its own rules.' },
  OVMF_NO_HASHES_TABLE: { kind: 'usage', summary: 'A guest firmware that has no area for kernel hashes.' },
  OVMF_NO_RESET_BLOCK: {
    kind: 'usage',
    summary: 'A guest firmware that names no reset vector for the second and later SEV-ES vCPUs.',
  },
  OVMF_NO_SNP_METADATA: { kind: 'usage', summary: 'A guest firmware that does not say what a SEV-SNP guest needs.' },
  OVMF_NO_TABLE: { kind: 'usage', summary: 'A guest firmware without a table of GUIDed entries.' },
  POLICY_INVALID: {
    kind: 'usage',
    summary: 'A guest policy that is not a number, or not one of the width that the policy has.',
  },
  RANDOM_SOURCE_BROKEN: {
    kind: 'harness',
    summary: 'The source of random bytes gave too few bytes, or the same unusable bytes again and again.',
  },
  SECRET_COMPRESSED: {
    kind: 'product',
    summary: 'A launch secret packet that says it is compressed, which no firmware supports.',
  },
  SECRET_HEADER_MALFORMED: { kind: 'product', summary: 'Bytes that are not a launch secret packet header.' },
  SECRET_INPUT_INVALID: {
    kind: 'usage',
    summary: 'A secret, or a list of secrets, that no guest could find in its table.',
  },
  SECRET_MAC_MISMATCH: {
    kind: 'product',
    summary: 'The MAC of a launch secret packet does not match its header, payload and launch measurement.',
  },
  SECRET_PAYLOAD_INVALID: {
    kind: 'product',
    summary: 'A launch secret payload of a length that the firmware refuses.',
  },
  SECRET_TABLE_MALFORMED: { kind: 'product', summary: 'Bytes that are not a table of secrets with GUIDs.' },
  SESSION_CHAIN_UNVERIFIED: {
    kind: 'product',
    summary: 'The platform certificate chain does not verify, so no session keys are sealed to its PDH.',
  },
  SESSION_MALFORMED: { kind: 'product', summary: 'Bytes that are not a launch session blob.' },
  SESSION_POLICY_MAC_MISMATCH: {
    kind: 'product',
    summary: 'The policy is not the one that the guest owner bound to this session.',
  },
  SESSION_WRAP_MAC_MISMATCH: {
    kind: 'product',
    summary: 'The wrapped keys of a session do not belong to this PDH and this guest owner certificate.',
  },
  SEV_CERTIFICATE_MALFORMED: {
    kind: 'product',
    summary: 'Bytes that are not an SEV certificate (PDH, PEK, OCA, CEK).',
  },
  SNP_EVIDENCE_MALFORMED: {
    kind: 'product',
    summary:
      'A container of SEV-SNP evidence (TSM report, certificate table, guest message, CoCo JSON) that breaks its own rules.',
  },
  SNP_REPORT_MALFORMED: { kind: 'product', summary: 'Bytes that are not a SEV-SNP attestation report.' },
  TCB_INVALID: { kind: 'usage', summary: 'A TCB version that the processor cannot have.' },
  TEK_INVALID: { kind: 'usage', summary: 'A transport encryption key of the wrong size, or all zero.' },
  TIK_INVALID: { kind: 'usage', summary: 'A transport integrity key of the wrong size, or all zero.' },
  VMSA_MALFORMED: { kind: 'usage', summary: 'A VMSA page that is not one page long.' },
  X509_MALFORMED: { kind: 'product', summary: 'Bytes that are not an X.509 certificate in DER or PEM.' },
} as const satisfies ErrorCatalogue;

export const attestationError = errorFactory(attestationErrors);
