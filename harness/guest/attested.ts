import { randomBytes } from 'node:crypto';
import {
  computeLaunchDigest,
  DEBUG_SWAP,
  encodeCpuSignature,
  type LaunchContext,
  type LaunchDigest,
  type LaunchSession,
  parseLaunchMeasure,
  parseOvmfTable,
  sealLaunchSecret,
  type VmsaForm,
  verifyLaunch,
} from '../../attestation/index.ts';
import { equalBytes, fromBase64, toBase64 } from '../../core/bytes.ts';
import type { Secret } from '../../core/secret.ts';
import { harnessError } from '../errors.ts';
import type { SevFacts } from '../host/facts.ts';
import { readWholeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { findMeasuredBootImage, type GuestFirmwareImage } from '../host/measured-boot.ts';
import { compareVersions, type VersionNumbers, versionNumbers } from '../host/preflight/minimums.ts';
import type { Refusal } from '../host/refusal.ts';
import type { FileReading } from '../host/shell.ts';
import { createOwnerSession, type Platform, sessionText } from './platform.ts';
import type { GuestLauncher, LaunchOptions, LiveGuest, PausedGuest } from './running.ts';
import { type GuestKind, kindPolicy, usualLoader } from './spec.ts';

/** A paused guest of an owner who holds the keys of its launch. */
export interface AttestedGuest {
  readonly guest: PausedGuest;
  readonly session: LaunchSession;
  readonly policy: number;
  /** What the host says of the launch. */
  readonly claims: LaunchClaims;
}

export interface LaunchClaims {
  /** Measurement and nonce, 48 bytes. */
  readonly measurement: Uint8Array;
  readonly context: LaunchContext;
}

export interface AttestedOptions extends Omit<LaunchOptions, 'session'> {
  /** Keys of an earlier launch, to be used once more. */
  readonly session?: LaunchSession;
}

/** Launches a guest with a session of its own, paused, and reads its measurement. A refusal is a value. */
export async function launchAttested(
  launcher: GuestLauncher,
  platform: Platform,
  kind: Exclude<GuestKind, 'plain'>,
  role: string,
  options: AttestedOptions = {},
): Promise<AttestedGuest | { readonly refusal: Refusal }> {
  const { session: given, ...rest } = options;
  const policy = rest.policy ?? kindPolicy(kind);
  const session = given ?? createOwnerSession(platform, policy);
  const launch = await launcher.launch(kind, role, { ...rest, session: sessionText(session), isPaused: true });
  if (launch.outcome === 'refused') return { refusal: launch.refusal };
  return { guest: launch.guest, session, policy, claims: await readClaims(launch.guest) };
}

/** The same where a refusal ends the scenario. Throws `LAUNCH_REFUSED` with the host's words. */
export async function launchAttestedOrFail(...launching: Parameters<typeof launchAttested>): Promise<AttestedGuest> {
  const guest = await launchAttested(...launching);
  if (!('refusal' in guest)) return guest;
  throw harnessError('LAUNCH_REFUSED', `the host refused guest '${launching[3]}': ${guest.refusal.text}`, {
    hint: guest.refusal.words,
  });
}

/** libvirt's `domlaunchsecinfo`. */
export async function readClaims({ domain }: LiveGuest): Promise<LaunchClaims> {
  const info = await domain.launchSecurityInfo();
  const number = (name: string) => Number(info[name]);
  return {
    measurement: fromBase64(String(info['sev-measurement'])) ?? new Uint8Array(),
    context: {
      apiMajor: number('sev-api-major'),
      apiMinor: number('sev-api-minor'),
      buildId: number('sev-build-id'),
      policy: number('sev-policy'),
    },
  };
}

/** What a verdict may be asked about other than as the host told it. */
export interface ClaimChanges {
  readonly context?: Partial<LaunchContext>;
  readonly measurement?: Uint8Array;
}

/** Rows that fail when a launch is verified against this digest, under this context, with the owner's key. */
export function launchObjections(
  { session, claims }: AttestedGuest,
  digest: LaunchDigest,
  changes: ClaimChanges = {},
): string[] {
  const { measurement, context } = { ...claims, ...changes };
  const verdict = verifyLaunch({ measurement, context: { ...claims.context, ...context }, digest, tik: session.tik });
  return verdict.checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'incomplete').map(({ id }) => id);
}

/** True when the firmware measured exactly this digest. */
export function isMeasured(guest: AttestedGuest, digest: LaunchDigest, changes: ClaimChanges = {}): boolean {
  return launchObjections(guest, digest, changes).length === 0;
}

/** The bytes of the firmware image that the harness gives its guests, as they lie on the host. Throws `GUEST_FIRMWARE_UNREADABLE`, `GUEST_FILE_UNUSABLE`. */
export async function readGuestFirmware(host: Host, facts: SevFacts): Promise<GuestFirmwareImage> {
  const path = usualLoader(facts);
  const reading = path === undefined ? undefined : await readWholeFile(host.shell, path);
  if (path !== undefined && reading?.outcome === 'read') return { path, image: reading.bytes };
  const why = reading?.outcome === 'unreadable' ? reading.because : 'it is not there';
  throw harnessError(
    'GUEST_FIRMWARE_UNREADABLE',
    `cannot read guest firmware ${path ?? '(none)'} of the host: ${why}`,
    {
      hint: 'A measurement can be verified only by who has the image: make it readable for the user of this run.',
    },
  );
}

/** Another image that the host offers, with other bytes than the one that our guests get; absent where it has none. */
export async function readOtherGuestFirmware(
  host: Host,
  facts: SevFacts,
  usual: GuestFirmwareImage,
): Promise<GuestFirmwareImage | undefined> {
  for (const path of facts.loaders.filter((offered) => offered !== usual.path)) {
    const reading = await readWholeFile(host.shell, path);
    if (reading.outcome === 'read' && !equalBytes(reading.bytes, usual.image)) return { path, image: reading.bytes };
  }
  return undefined;
}

/** What the launch of an SEV-ES guest may have measured, and of which VMSA it is. */
export interface EsDigest {
  readonly digest: LaunchDigest;
  readonly vmsa: string;
}

const DEBUG_SWAP_PARAMETER = '/sys/module/kvm_amd/parameters/debug_swap';
/** From here on KVM_SEV_ES_INIT sets no feature on its own (commits 4f5defae7089, 4dd5ecacb9a4). */
const NEVER_SETS_DEBUG_SWAP: VersionNumbers = [6, 10, 0];

/**
 * Digests that the launch of an SEV-ES guest can have on this host: one for each way in which QEMU may make it, and one with
 * DebugSwap where the kernel may set that in every guest.
 */
export async function expectedEsDigests({ shell }: Host, guestFirmware: Uint8Array): Promise<EsDigest[]> {
  const [cpuinfo, kernel, parameter] = await Promise.all(
    ['/proc/cpuinfo', '/proc/sys/kernel/osrelease', DEBUG_SWAP_PARAMETER].map((path) => shell.readFile(path)),
  );
  const cpuSignature = cpuSignatureIn(textOf(cpuinfo));
  const digest = (form: VmsaForm, sevFeatures: number) =>
    computeLaunchDigest({ guestFirmware, vcpus: { kind: 'built', count: 1, cpuSignature, form, sevFeatures } });
  return [
    { digest: digest('legacy', 0), vmsa: 'as KVM_SEV_ES_INIT makes it' },
    { digest: digest('init2', 0), vmsa: 'as KVM_SEV_INIT2 makes it' },
    ...(maySetDebugSwap(textOf(kernel), parameter)
      ? [
          {
            digest: digest('legacy', DEBUG_SWAP),
            vmsa: 'as KVM_SEV_ES_INIT makes it, with DebugSwap (SEV_FEATURES 0x20), which kvm_amd.debug_swap adds',
          },
        ]
      : []),
  ];
}

/** Where the parameter is absent the kernel does not know DebugSwap; one that cannot be read is unknown, not off. */
function maySetDebugSwap(kernel: string, parameter: FileReading | undefined): boolean {
  const version = versionNumbers(kernel);
  if (version !== undefined && compareVersions(version, NEVER_SETS_DEBUG_SWAP) >= 0) return false;
  return parameter?.outcome === 'unreadable' || /^[1Yy]/.test(textOf(parameter));
}

/** The guest has the host's CPU: family, model and stepping of /proc/cpuinfo. */
function cpuSignatureIn(cpuinfo: string): number {
  const field = (name: string) => Number(new RegExp(`^${name}\\s*: (\\d+)$`, 'm').exec(cpuinfo)?.[1]);
  return encodeCpuSignature({ family: field('cpu family'), model: field('model'), stepping: field('stepping') });
}

function textOf(reading: FileReading | undefined): string {
  return reading?.outcome === 'read' ? new TextDecoder().decode(reading.bytes) : '';
}

/** Where AmdSev builds of OVMF have room for a secret: for images that name no place of their own. */
const USUAL_SECRET_ADDRESS = 0x0080_d000;

/** Guest address for a secret, as the firmware image names it; one where any guest has memory when it names none. */
export function secretAddress(image: Uint8Array): number {
  return parseOvmfTable(image).secretArea?.baseGpa ?? USUAL_SECRET_ADDRESS;
}

/** Where a secret goes, and the guests that it is for. */
export interface SecretPlace {
  readonly address: number;
  readonly launch: Pick<LaunchOptions, 'loader' | 'isBootMeasured'>;
  /** Why no guest system would find it there. */
  readonly because?: string;
}

/**
 * Only a place that the firmware image names outlives the boot: stock builds of OVMF name none, and what is injected elsewhere
 * lies in memory that the guest's kernel takes for its own. Throws what `readGuestFirmware` throws.
 */
export async function findSecretPlace(host: Host, facts: SevFacts): Promise<SecretPlace> {
  const usual = await readGuestFirmware(host, facts);
  const { secretArea, hashesArea } = parseOvmfTable(usual.image);
  if (secretArea !== undefined && hashesArea === undefined) return { address: secretArea.baseGpa, launch: {} };
  const measured = await findMeasuredBootImage(host, facts);
  const area = 'image' in measured ? parseOvmfTable(measured.image).secretArea : undefined;
  if ('image' in measured && area !== undefined)
    return { address: area.baseGpa, launch: { loader: measured.path, isBootMeasured: true } };
  const why = 'because' in measured ? measured.because : `nor does ${measured.path}`;
  return {
    address: secretAddress(usual.image),
    launch: {},
    because: `${usual.path} names no place where a secret outlives the boot, and ${why}; install an AmdSev build of OVMF (Debian and Ubuntu, where the release has it: ovmf-amdsev; Fedora and RHEL: edk2-ovmf)`,
  };
}

/** A packet with a secret for one launch, as base64 for libvirt. */
export function sealFor({ session, claims }: AttestedGuest, plaintext: Secret<Uint8Array>) {
  const { measurement } = parseLaunchMeasure(claims.measurement);
  const keys = { tik: session.tik, tek: session.tek, measurement };
  const { header, payload } = sealLaunchSecret(plaintext, keys, randomBytes);
  return { header: toBase64(header), secret: toBase64(payload) };
}
