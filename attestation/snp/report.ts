import { toHex } from '../../core/bytes.ts';
import {
  type FieldReader,
  type FieldWriter,
  fieldReader,
  fieldWriter,
  hexNumber,
  type Malformed,
} from '../abi/fields.ts';
import type { SnpLaunchDigest } from '../brands.ts';
import type { EcdsaSignature } from '../certs/p384.ts';
import { attestationError } from '../errors.ts';
import { ECDSA_P384_SHA384, readSignature, writeSignature } from './ecdsa-field.ts';
import { TCB_LENGTH } from './tcb.ts';

export const SNP_REPORT_LENGTH = 0x4a0;
/** What the signature covers. */
const SIGNED_LENGTH = 0x2a0;
const VERSIONS = { first: 1, last: 5 } as const;
/** CPUID stands in reports from this version on, mitigation vectors from `MITIGATIONS_SINCE` on. */
const CPUID_SINCE = 3;
const MITIGATIONS_SINCE = 5;
/** VMPL of a report that the hypervisor asked for. */
const VMPL_HOST = 0xffff_ffff;

const SIGNING_KEYS = { vcek: 0, vlek: 1, none: 7 } as const;
export type SnpSigningKey = keyof typeof SIGNING_KEYS;

export interface SnpFirmwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/** Everything that a report says, verified or not; `encodeSnpReport` gives back its bytes. */
export interface SnpReport {
  /** 1 to 5. */
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: bigint;
  /** 16 bytes each. */
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  /** 0 to 3, or 0xffffffff when the hypervisor asked for the report. */
  readonly vmpl: number;
  /** TCB versions have 8 bytes; `parseTcb` reads them for a product. */
  readonly currentTcb: Uint8Array;
  readonly platformInfo: bigint;
  readonly authorKeyEnabled: boolean;
  readonly chipKeyMasked: boolean;
  readonly signingKey: SnpSigningKey;
  /** 64 bytes that the guest chose. */
  readonly reportData: Uint8Array;
  readonly measurement: SnpLaunchDigest;
  /** 32 bytes that the host chose. */
  readonly hostData: Uint8Array;
  /** 48 bytes each, zero when the guest was launched without such a key. */
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  /** 32 bytes each. */
  readonly reportId: Uint8Array;
  readonly reportIdMa: Uint8Array;
  /** The TCB that the signing key stands for. */
  readonly reportedTcb: Uint8Array;
  /** From version 3 on. */
  readonly cpu: { readonly family: number; readonly model: number; readonly stepping: number } | undefined;
  /** 64 bytes; Turin uses 8 of them. */
  readonly chipId: Uint8Array;
  readonly committedTcb: Uint8Array;
  readonly current: SnpFirmwareVersion;
  readonly committed: SnpFirmwareVersion;
  readonly launchTcb: Uint8Array;
  /** From version 5 on. */
  readonly mitigations: { readonly launch: bigint; readonly current: bigint } | undefined;
  readonly signature: EcdsaSignature;
}

/**
 * Reads a SEV-SNP attestation report, 1184 bytes, versions 1 to 5; no signature is verified.
 *
 * Every reserved byte must be zero. Throws `SNP_REPORT_MALFORMED`. SEV-SNP ABI 56860 rev 1.58, table 23.
 */
export function parseSnpReport(bytes: Uint8Array): SnpReport {
  const malformed: Malformed = (rule) => attestationError('SNP_REPORT_MALFORMED', `SEV-SNP report: ${rule}`);
  const fields = fieldReader(bytes, SNP_REPORT_LENGTH, malformed);
  const version = fields.u32(0x000);
  if (version < VERSIONS.first || version > VERSIONS.last) {
    throw malformed(`expected version ${VERSIONS.first} to ${VERSIONS.last}, got ${version}`);
  }
  const vmpl = fields.u32(0x030);
  if (vmpl > 3 && vmpl !== VMPL_HOST) throw malformed(`expected VMPL 0 to 3, got ${vmpl}`);
  const algorithm = fields.u32(0x034);
  if (algorithm !== ECDSA_P384_SHA384) {
    throw malformed(`expected signature algorithm ${ECDSA_P384_SHA384} (ECDSA P-384 with SHA-384), got ${algorithm}`);
  }
  fields.requireZero(0x04c, 4, 'the reserved field');
  if (version >= CPUID_SINCE) fields.requireZero(0x18b, 21, 'the reserved field behind CPUID');
  else fields.requireZero(0x188, 24, `the reserved field of version ${version}`);
  fields.requireZero(0x1eb, 1, 'the byte behind the current version');
  fields.requireZero(0x1ef, 1, 'the byte behind the committed version');
  if (version >= MITIGATIONS_SINCE) fields.requireZero(0x208, 152, 'the reserved field before the signature');
  else fields.requireZero(0x1f8, 168, 'the reserved field before the signature');
  return {
    version,
    guestSvn: fields.u32(0x004),
    policy: u64(fields, 0x008),
    familyId: fields.bytes(0x010, 16),
    imageId: fields.bytes(0x020, 16),
    vmpl,
    currentTcb: fields.bytes(0x038, TCB_LENGTH),
    platformInfo: u64(fields, 0x040),
    ...readFlags(fields.u32(0x048), malformed),
    reportData: fields.bytes(0x050, 64),
    measurement: fields.bytes(0x090, 48) as SnpLaunchDigest,
    hostData: fields.bytes(0x0c0, 32),
    idKeyDigest: fields.bytes(0x0e0, 48),
    authorKeyDigest: fields.bytes(0x110, 48),
    reportId: fields.bytes(0x140, 32),
    reportIdMa: fields.bytes(0x160, 32),
    reportedTcb: fields.bytes(0x180, TCB_LENGTH),
    cpu:
      version >= CPUID_SINCE
        ? { family: fields.u8(0x188), model: fields.u8(0x189), stepping: fields.u8(0x18a) }
        : undefined,
    chipId: fields.bytes(0x1a0, 64),
    committedTcb: fields.bytes(0x1e0, TCB_LENGTH),
    current: readVersion(fields, 0x1e8),
    committed: readVersion(fields, 0x1ec),
    launchTcb: fields.bytes(0x1f0, TCB_LENGTH),
    mitigations: version >= MITIGATIONS_SINCE ? { launch: u64(fields, 0x1f8), current: u64(fields, 0x200) } : undefined,
    signature: readSignature(fields, 0x2a0, 'signature', malformed),
  };
}

/** The inverse of `parseSnpReport`. */
export function encodeSnpReport(report: SnpReport): Uint8Array {
  const fields = fieldWriter(SNP_REPORT_LENGTH);
  fields.u32(0x000, report.version);
  fields.u32(0x004, report.guestSvn);
  writeU64(fields, 0x008, report.policy);
  fields.bytes(0x010, report.familyId);
  fields.bytes(0x020, report.imageId);
  fields.u32(0x030, report.vmpl);
  fields.u32(0x034, ECDSA_P384_SHA384);
  fields.bytes(0x038, report.currentTcb);
  writeU64(fields, 0x040, report.platformInfo);
  fields.u32(
    0x048,
    (report.authorKeyEnabled ? 1 : 0) | (report.chipKeyMasked ? 2 : 0) | (SIGNING_KEYS[report.signingKey] << 2),
  );
  fields.bytes(0x050, report.reportData);
  fields.bytes(0x090, report.measurement);
  fields.bytes(0x0c0, report.hostData);
  fields.bytes(0x0e0, report.idKeyDigest);
  fields.bytes(0x110, report.authorKeyDigest);
  fields.bytes(0x140, report.reportId);
  fields.bytes(0x160, report.reportIdMa);
  fields.bytes(0x180, report.reportedTcb);
  if (report.cpu !== undefined) {
    fields.bytes(0x188, Uint8Array.of(report.cpu.family, report.cpu.model, report.cpu.stepping));
  }
  fields.bytes(0x1a0, report.chipId);
  fields.bytes(0x1e0, report.committedTcb);
  writeVersion(fields, 0x1e8, report.current);
  writeVersion(fields, 0x1ec, report.committed);
  fields.bytes(0x1f0, report.launchTcb);
  if (report.mitigations !== undefined) {
    writeU64(fields, 0x1f8, report.mitigations.launch);
    writeU64(fields, 0x200, report.mitigations.current);
  }
  writeSignature(fields, 0x2a0, report.signature);
  return fields.finish();
}

/** Everything before the signature. */
export function signedReportBytes(report: SnpReport): Uint8Array {
  return encodeSnpReport(report).subarray(0, SIGNED_LENGTH);
}

function readFlags(flags: number, malformed: Malformed) {
  const code = (flags >>> 2) & 7;
  const [signingKey] = Object.entries(SIGNING_KEYS).find(([, known]) => known === code) ?? [];
  if (signingKey === undefined) throw malformed(`expected signing key 0 (VCEK), 1 (VLEK) or 7 (none), got ${code}`);
  if (flags >>> 5 !== 0) throw malformed(`reserved flags must be zero, found ${hexNumber(flags, 8)}`);
  return {
    authorKeyEnabled: (flags & 1) !== 0,
    chipKeyMasked: (flags & 2) !== 0,
    signingKey: signingKey as SnpSigningKey,
  };
}

function readVersion(fields: FieldReader, offset: number): SnpFirmwareVersion {
  return { build: fields.u8(offset), minor: fields.u8(offset + 1), major: fields.u8(offset + 2) };
}

function writeVersion(fields: FieldWriter, offset: number, version: SnpFirmwareVersion): void {
  fields.bytes(offset, Uint8Array.of(version.build, version.minor, version.major));
}

function u64(fields: FieldReader, offset: number): bigint {
  return BigInt(`0x${toHex(fields.number(offset, 8))}`);
}

function writeU64(fields: FieldWriter, offset: number, value: bigint): void {
  fields.number(offset, Buffer.from(value.toString(16).padStart(16, '0'), 'hex'));
}
