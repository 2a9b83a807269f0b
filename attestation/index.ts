/**
 * The attestation library: bytes in, verdict out. No network, files, processes or clock.
 *
 * A guest owner's way through it: `parseCertChain` and its neighbours, `verifyChain`, `createLaunchSession`,
 * `computeLaunchDigest`, `verifyLaunch`, `validateLaunch`, `sealLaunchSecret`; and `explainLaunch` where it fails.
 * For SEV-SNP: `parseSnpReport`, `verifySnpCa`, `verifyVek`, `verifySnpReport`, `validateSnpReport`.
 */
export { type ErrorDetails, isSevHarnessError, SevHarnessError } from '../core/errors.ts';
export { Secret } from '../core/secret.ts';
export type { LaunchDigest, LaunchMeasurement, Mnonce, SnpLaunchDigest, Tek, Tik } from './brands.ts';
export { type AmdCaCertificate, encodeAmdCaCertificate, parseAmdCaCertificate } from './certs/amd-ca.ts';
export { signedCekUrl } from './certs/cek-url.ts';
export {
  type ChainCertificates,
  encodeCertChain,
  mergeChains,
  parseAskArk,
  parseCertChain,
  parseChainFile,
} from './certs/chain-files.ts';
export { DENIED_CHIPS, type DeniedChip } from './certs/denied-chips.ts';
export type { RandomSource } from './certs/p384.ts';
export { PINNED_ROOTS, type PinnedRoot, type Product, productOfCaKey, productOfCpu } from './certs/products.ts';
export { encodeSevCertificate, parseSevCertificate, type SevCertificate } from './certs/sev-certificate.ts';
export { attestationErrors } from './errors.ts';
export {
  type ExplainedChange,
  type ExplainInputs,
  type ExplainOptions,
  type Explanation,
  explainLaunch,
} from './explain/launch.ts';
export { formatKdsUrl, type KdsResource, parseKdsUrl } from './kds/url.ts';
export { type CpuSku, encodeCpuSignature, KNOWN_CPUS } from './measurement/cpu-signature.ts';
export { computeLaunchDigest, type LaunchInputs, type Vcpus } from './measurement/digest.ts';
export {
  computeKernelHashes,
  encodeKernelHashes,
  type KernelFiles,
  type KernelHashes,
  parseKernelHashes,
} from './measurement/kernel-hashes.ts';
export {
  computeLaunchMeasurement,
  decodeMeasurementText,
  type LaunchContext,
  type LaunchMeasure,
  parseLaunchMeasure,
  parseTik,
} from './measurement/measurement.ts';
export { type OvmfTable, parseOvmfTable } from './measurement/ovmf.ts';
export { computeSnpLaunchDigest, type SnpLaunchInputs } from './measurement/snp-digest.ts';
export { computeSvsmLaunchDigest } from './measurement/svsm-digest.ts';
export { buildVmsa, DEBUG_SWAP, decodeVmsa, type VmsaForm, type VmsaSpec } from './measurement/vmsa.ts';
export {
  explainSevPolicy,
  formatSevPolicy,
  inspectSevPolicy,
  type PolicyFinding,
  parseSevPolicy,
  type SevPolicy,
} from './policy/sev.ts';
export { formatSnpPolicy, inspectSnpPolicy, parseSnpPolicy, type SnpPolicy } from './policy/snp.ts';
export { type AttestationResult, attestationResult, type Check, type CheckOutcome } from './result.ts';
export { type LaunchSecretPacket, openLaunchSecret, type SecretKeys, sealLaunchSecret } from './secrets/packet.ts';
export { buildSecretTable, type GuestSecret, parseSecretTable, SECRET_ALIASES } from './secrets/table.ts';
export {
  createLaunchSession,
  type LaunchSession,
  openLaunchSession,
  parseGuestOwnerCertificate,
  type SessionRequest,
} from './session/launch-session.ts';
export { parseTek, parseTransportKeys } from './session/transport-keys.ts';
export type { CertTable, CertTableRole } from './snp/cert-table.ts';
export { type CertificateRevocationList, parseCrl } from './snp/crl.ts';
export {
  type CocoEvidence,
  parseCocoEvidence,
  parseReportResponse,
  parseTsmReport,
  type TsmReport,
} from './snp/evidence.ts';
export { type HclReport, type HclRuntimeData, parseHclReport } from './snp/hcl.ts';
export {
  computeIdKeyDigest,
  encodeIdAuth,
  encodeIdBlock,
  type IdAuth,
  type IdBlock,
  parseIdAuth,
  parseIdBlock,
} from './snp/id-block.ts';
export { encodeSnpReport, parseSnpReport, type SnpReport, type SnpSigningKey } from './snp/report.ts';
export { encodeTcb, formatTcb, olderComponents, parseTcb, type SnpProduct, type Tcb } from './snp/tcb.ts';
export type { VekClaims, VekKind } from './snp/vek.ts';
export { parseX509Certificate, parseX509Certificates, type X509Certificate } from './snp/x509.ts';
export { type LaunchClaims, type LaunchReferenceValues, validateLaunch } from './validate/launch.ts';
export { type SnpReferenceValues, validateSnpReport } from './validate/snp-report.ts';
export { type ChainOptions, type ChainResult, type ChainVerdict, verifyChain } from './verify/chain.ts';
export { type RootIdentity, type RootOptions, type VerifiedRoots, verifyRoots } from './verify/chain-roots.ts';
export { type LaunchEvidence, verifyLaunch } from './verify/launch.ts';
export { type SessionEvidence, verifySession } from './verify/session.ts';
export {
  type SnpCaCertificates,
  type SnpCaOptions,
  sortSnpCa,
  type VerifiedSnpCa,
  verifySnpCa,
} from './verify/snp-ca.ts';
export { type IdBlockEvidence, verifyIdBlock } from './verify/snp-id-block.ts';
export { type SnpEvidence, verifyRuntimeData, verifySnpReport } from './verify/snp-report.ts';
export { type VerifiedVek, verifyVek } from './verify/snp-vek.ts';
