import { type ChainCertificates, parseCertChain } from '../../../attestation/certs/chain-files.ts';
import { parseSevCertificate } from '../../../attestation/certs/sev-certificate.ts';
import type { Check } from '../../../attestation/result.ts';
import { fromBase64 } from '../../../core/bytes.ts';
import { harnessError } from '../../errors.ts';
import { type Domain, isRemoteError, type LibvirtConnection } from '../../libvirt/index.ts';
import {
  type CpuSignature,
  type DomainFacts,
  type HostLaunch,
  parseCpuSignature,
  parseDomainFacts,
} from './domain-facts.ts';
import { domainRows, type OwnersSession, type SeenDomain } from './domain-rows.ts';
import type { Arguments } from './flags.ts';
import type { AttestIo } from './io.ts';
import { naming } from './read.ts';

/** One domain as its host describes it, and whether it can be verified securely at all. */
export interface DomainEvidence {
  readonly domain: Domain;
  readonly facts: DomainFacts;
  readonly launch: HostLaunch;
  /** Number of vCPUs, the host's word. */
  readonly vcpus: number;
  readonly checks: readonly Check[];
  /** We run on the host that is to be verified. */
  readonly isLocal: boolean;
  /** PDH and certificate chain of the host; empty where it gives none. */
  readonly chain: () => Promise<ChainCertificates>;
  readonly cpuSignature: () => Promise<CpuSignature | undefined>;
}

const NO_LAUNCH: HostLaunch = {
  measurement: undefined,
  apiMajor: undefined,
  apiMinor: undefined,
  buildId: undefined,
  policy: undefined,
};

/** Reads a domain through libvirt. Nothing is changed. Throws what the client throws. */
export async function readDomain(
  connection: LibvirtConnection,
  args: Arguments,
  io: AttestIo,
  owned: OwnersSession,
): Promise<DomainEvidence> {
  const domain = await lookup(connection, args.required('domain'));
  const { state } = await domain.state();
  const isActive = state !== 'shutoff' && state !== 'crashed';
  const facts = parseDomainFacts(await domain.xml());
  const launch = isActive && facts.launchSecurity === 'sev' ? await readLaunch(domain) : NO_LAUNCH;
  const seen: SeenDomain = { name: domain.name, state, facts, launch };
  const checks = domainRows(seen, args, owned);
  const isLocal = (await connection.hostname()) === (await io.hostname());
  return {
    domain,
    facts,
    launch,
    vcpus: (await domain.info()).vcpus,
    checks,
    isLocal,
    chain: () => readHostChain(connection),
    cpuSignature: async () => parseCpuSignature(await connection.capabilitiesXml()),
  };
}

/** Also takes an id or a uuid, as virsh does. */
async function lookup(connection: LibvirtConnection, name: string): Promise<Domain> {
  if (/^[0-9]{1,9}$/.test(name)) return connection.lookupById(Number(name));
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name)) return connection.lookupByUuid(name);
  return connection.lookupByName(name);
}

async function readLaunch(domain: Domain): Promise<HostLaunch> {
  let info: Awaited<ReturnType<Domain['launchSecurityInfo']>>;
  try {
    info = await domain.launchSecurityInfo();
  } catch (error) {
    // A refusal says something about the domain, and is a row; a broken connection is an error.
    if (!isRemoteError(error)) throw error;
    return { ...NO_LAUNCH, refusal: error.remote.message ?? error.message };
  }
  const number = (name: string) => {
    const value = info[name];
    return typeof value === 'number' ? value : undefined;
  };
  const measurement = info['sev-measurement'];
  return {
    measurement: typeof measurement === 'string' ? measurement : undefined,
    apiMajor: number('sev-api-major'),
    apiMinor: number('sev-api-minor'),
    buildId: number('sev-build-id'),
    policy: number('sev-policy'),
  };
}

async function readHostChain(connection: LibvirtConnection): Promise<ChainCertificates> {
  const { pdh, certChain } = await connection.sevInfo();
  const decoded = (what: string, text: string) => {
    const bytes = fromBase64(text);
    if (bytes !== undefined) return bytes;
    throw harnessError('ATTEST_INPUT_BASE64', `${what} of the host is not strict base64`);
  };
  return {
    ...(certChain === undefined
      ? {}
      : naming('nodesevinfo', 'cert-chain', () => parseCertChain(decoded('cert-chain', certChain)))),
    ...(pdh === undefined ? {} : { pdh: naming('nodesevinfo', 'pdh', () => parseSevCertificate(decoded('pdh', pdh))) }),
  };
}
