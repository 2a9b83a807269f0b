import type { LaunchDigest } from '../../../attestation/brands.ts';
import { checkLaunchContext, type LaunchContext } from '../../../attestation/measurement/measurement.ts';
import { inspectSevPolicy, parseSevPolicy } from '../../../attestation/policy/sev.ts';
import type { ChainResult } from '../../../attestation/verify/chain.ts';
import type { LibvirtConnection } from '../../libvirt/index.ts';
import { hasChainFlags } from './chain-flags.ts';
import type { DomainEvidence } from './domain.ts';
import { type Arguments, type FlagGroup, parseInteger, usageError } from './flags.ts';
import { digestOf, GUEST_FLAGS, type GuestFiles, type HostGuess, readGuest } from './guest-input.ts';
import type { AttestIo } from './io.ts';
import { KEY_FLAGS, type OwnersKeys, readKeys } from './keys-input.ts';
import { InputReader } from './read.ts';

export const STATE_FLAGS: FlagGroup = {
  title: 'What the host says of the launch',
  flags: [
    { name: 'measurement', short: 'm', value: 'BASE64', help: 'sev-measurement of `virsh domlaunchsecinfo`' },
    { name: 'api-major', value: 'N', help: 'SEV API major version of the host' },
    { name: 'api-minor', value: 'N', help: 'SEV API minor version of the host' },
    { name: 'build-id', value: 'N', help: 'SEV firmware build of the host' },
    { name: 'policy', value: 'P', help: 'policy of your session, 0x0033 or 51; do not take it from the host' },
  ],
};

export const SESSION_FLAGS: FlagGroup = {
  title: 'The session that the guest was started with',
  flags: [
    { name: 'session', value: 'FILE', help: 'NAME_session.b64, or its 128 bytes' },
    { name: 'godh', value: 'FILE', help: 'NAME_godh.b64, or its 2084 bytes' },
  ],
};

export const DOMAIN_FLAGS: FlagGroup = {
  title: 'Reading it from libvirt',
  flags: [
    { name: 'connect', short: 'c', value: 'URI', help: 'libvirt URI (default qemu:///system)' },
    { name: 'domain', short: 'o', value: 'NAME', help: 'name, id or UUID of the guest' },
    { name: 'insecure', short: 'i', help: 'go on where a guest cannot be verified securely, and believe the host' },
    { name: 'ignore-config', short: 'g', help: 'do not judge the configuration of the domain' },
  ],
};

/** A launch with everything that is needed to verify or explain its measurement. */
export interface LaunchInput {
  readonly measurement: string;
  readonly context: LaunchContext;
  readonly guest: GuestFiles;
  readonly digest: LaunchDigest;
}

export interface Evidence {
  readonly read: InputReader;
  readonly warnings: string[];
  readonly keys: OwnersKeys;
  readonly domain: DomainEvidence | undefined;
  readonly session: { readonly session: Uint8Array; readonly godh: Uint8Array | undefined } | undefined;
  /** The policy that is verified against, from the flag or else from the host. */
  readonly policy: number | undefined;
  /** `undefined` when no flag asks for it, or when the domain has none. */
  readonly launch: LaunchInput | undefined;
  readonly chain: ChainResult | undefined;
}

/** Reads everything that the flags name, hands it on, and lets go of libvirt afterwards. */
export async function withEvidence<T>(
  args: Arguments,
  io: AttestIo,
  use: (evidence: Evidence) => Promise<T>,
  options: EvidenceOptions = {},
): Promise<T> {
  const uri = args.text('connect');
  if (!args.has('domain')) {
    if (uri !== undefined) throw usageError('--connect needs --domain');
    return use(await gather(args, io, undefined, options));
  }
  await using connection = await io.connect(uri ?? 'qemu:///system');
  return await use(await gather(args, io, connection, options));
}

export interface EvidenceOptions {
  /** A measurement without the launch that it is of is no usage error. */
  readonly measurementAlone?: boolean;
}

async function gather(
  args: Arguments,
  io: AttestIo,
  connection: LibvirtConnection | undefined,
  options: EvidenceOptions,
): Promise<Evidence> {
  const read = new InputReader();
  const warnings: string[] = [];
  const stated = args.text('policy');
  const statedPolicy = stated === undefined ? undefined : parseSevPolicy(stated).value;
  const session = readSession(args, read);
  const keys = await readKeys(args, read);
  const owned = { session: session?.session, godh: session?.godh };
  const domain = connection && (await (await import('./domain.ts')).readDomain(connection, args, io, owned));
  if (domain?.isLocal) {
    warnings.push('this machine is the host itself: a host that deceives you can deceive this program too');
  }
  const policy = statedPolicy ?? domain?.launch.policy;
  for (const finding of policy === undefined ? [] : inspectSevPolicy(parseSevPolicy(policy))) {
    if (finding.level !== 'moot') warnings.push(`policy: ${finding.text}`);
  }
  return {
    read,
    warnings,
    keys,
    domain,
    session,
    policy,
    launch:
      isMeasurementAlone(args) && options.measurementAlone
        ? undefined
        : await readLaunch(args, read, policy, warnings, domain),
    chain: await readChain(args, io, read, domain),
  };
}

async function readChain(args: Arguments, io: AttestIo, read: InputReader, domain: DomainEvidence | undefined) {
  if (!hasChainFlags(args)) return undefined;
  const { verifyGivenChain } = await import('./chain-input.ts');
  return verifyGivenChain(args, io, read, await domain?.chain());
}

function readSession(args: Arguments, read: InputReader): Evidence['session'] {
  const [session, godh] = [args.text('session'), args.text('godh')];
  if (session === undefined) {
    if (godh !== undefined) throw usageError('--godh needs --session');
    return undefined;
  }
  return {
    session: read.either('--session', session),
    godh: godh === undefined ? undefined : read.either('--godh', godh),
  };
}

const LAUNCH_WORDS = [...STATE_FLAGS.flags, ...GUEST_FLAGS.flags].flatMap(({ name }) =>
  name === 'policy' ? [] : [name],
);

function isMeasurementAlone(args: Arguments): boolean {
  return !args.has('domain') && LAUNCH_WORDS.every((name) => args.has(name) === (name === 'measurement'));
}

async function readLaunch(
  args: Arguments,
  read: InputReader,
  policy: number | undefined,
  warnings: string[],
  domain: DomainEvidence | undefined,
): Promise<LaunchInput | undefined> {
  if (domain === undefined && !LAUNCH_WORDS.some((name) => args.has(name))) return undefined;
  const host = domain?.launch;
  const measurement = args.text('measurement') ?? host?.measurement;
  const apiMajor = args.integer('api-major', 0, 255) ?? host?.apiMajor;
  const apiMinor = args.integer('api-minor', 0, 255) ?? host?.apiMinor;
  const buildId = args.integer('build-id', 0, 255) ?? host?.buildId;
  // A domain that has no measurement has a failed row that says so.
  if (domain !== undefined && measurement === undefined) return undefined;
  const missing = Object.entries({
    '--measurement': measurement,
    '--api-major': apiMajor,
    '--api-minor': apiMinor,
    '--build-id': buildId,
    '--policy': policy,
    ...(domain === undefined ? { '--firmware': args.text('firmware') } : {}),
  }).flatMap(([flag, value]) => (value === undefined ? [flag] : []));
  if (
    missing.length > 0 ||
    measurement === undefined ||
    apiMajor === undefined ||
    apiMinor === undefined ||
    buildId === undefined ||
    policy === undefined
  ) {
    throw usageError(
      `a measurement cannot be verified without ${missing.join(', ')}`,
      'Give them, or --domain to ask libvirt.',
    );
  }
  const context = { apiMajor, apiMinor, buildId, policy };
  checkLaunchContext(context);
  const guess = domain === undefined ? {} : await guessesOf(domain, args, policy);
  const guest = readGuest(args, read, policy, (text) => warnings.push(text), guess);
  const firmware = args.text('firmware') ?? domain?.facts.loader ?? '';
  return { measurement, context, guest, digest: digestOf(guest, firmware) };
}

/** What the domain says where the owner said nothing. Each refuses without `--insecure`, and paths also from afar. */
async function guessesOf(domain: DomainEvidence, args: Arguments, policy: number): Promise<HostGuess> {
  const { facts, isLocal, vcpus } = domain;
  const believed = (flag: string, what: string) => {
    if (args.has('insecure')) return;
    throw usageError(
      `--${flag} is required: ${what} comes from the host that is to be verified`,
      'Pass what you know yourself, or --insecure to believe the host.',
    );
  };
  const pathOf = (flag: string, found: string) => {
    believed(flag, 'the path in the domain XML');
    if (isLocal) return found;
    throw usageError(`--${flag} is required: ${found} is a file of the host, and this is another machine`);
  };
  const kernelPart = (flag: string, found: string | undefined) =>
    found === undefined || !facts.kernelHashes ? undefined : pathOf(flag, found);
  const wantsCpu = (policy & 0x4) !== 0 && args.has('insecure') && !args.has('vmsa-cpu0') && !args.has('cpu-family');
  const signature = wantsCpu ? await domain.cpuSignature() : undefined;
  return {
    firmware: () => {
      if (facts.loader === undefined) throw usageError('--firmware is required: the domain names no loader');
      return pathOf('firmware', facts.loader);
    },
    kernel: () => kernelPart('kernel', facts.kernel),
    initrd: () => kernelPart('initrd', facts.initrd),
    cmdline: () => {
      if (facts.cmdline === undefined || !facts.kernelHashes) return undefined;
      believed('cmdline', 'the command line in the domain XML');
      return facts.cmdline;
    },
    vcpus: () => {
      believed('num-cpus', 'the number of vCPUs');
      return vcpus;
    },
    cpu: () => {
      believed('cpu-family', "the host's CPU");
      if (signature === undefined) throw usageError('--cpu-family is required: libvirt there does not state the CPU');
      return {
        family: parseInteger("family of the host's CPU", signature.family, 0, 270),
        model: parseInteger("model of the host's CPU", signature.model, 0, 255),
        stepping: parseInteger("stepping of the host's CPU", signature.stepping, 0, 15),
      };
    },
  };
}

export const LAUNCH_GROUPS: readonly FlagGroup[] = [STATE_FLAGS, GUEST_FLAGS, KEY_FLAGS];
