import { randomBytes } from 'node:crypto';
import {
  type ChainCertificates,
  type ChainResult,
  createLaunchSession,
  type LaunchSession,
  mergeChains,
  parseAskArk,
  parseCertChain,
  parseSevCertificate,
  verifyChain,
} from '../../attestation/index.ts';
import { fromBase64, toBase64 } from '../../core/bytes.ts';
import { harnessError } from '../errors.ts';
import type { SevFacts } from '../host/facts.ts';
import type { Host } from '../host/host.ts';

/** Where an emulated host keeps what AMD's key server has for a real one. */
const EMULATED_FOLDER = '/var/lib/emulated-sev';

/** The Secure Processor of a host as a guest owner sees it, with the verdict on its certificates. */
export interface Platform {
  readonly certificates: ChainCertificates;
  readonly chain: ChainResult;
}

/**
 * Reads the host's certificates and verifies them: an emulated host's up to its own root, a real host's as far as what
 * libvirt gives goes, which ends at an unsigned CEK.
 *
 * Throws `PLATFORM_CERTIFICATES_MISSING` when libvirt gives none, and what the parsers throw.
 */
export async function readPlatform(host: Host, facts: SevFacts): Promise<Platform> {
  const [pdh, chain] = [facts.nodeSevInfo?.pdh, facts.nodeSevInfo?.certChain].map((text) => fromBase64(text ?? ''));
  if (!pdh?.length || !chain?.length) {
    throw harnessError(
      'PLATFORM_CERTIFICATES_MISSING',
      `host ${facts.hostname} gives neither PDH nor certificate chain`,
      {
        hint: 'Compare with `virsh nodesevinfo`: libvirt caches what QEMU told it when it was started.',
      },
    );
  }
  const { pek, oca, cek } = parseCertChain(chain);
  const own = { pdh: parseSevCertificate(pdh), ...(pek ? { pek } : {}), ...(oca ? { oca } : {}) };
  if (host.kind === 'real') {
    const certificates = { ...own, ...(cek ? { cek } : {}) };
    return { certificates, chain: verifyChain(certificates) };
  }
  const [signedCek, askArk] = await Promise.all(
    ['cek.cert', 'ask_ark.cert'].map(async (name) => {
      const reading = await host.shell.readFile(`${EMULATED_FOLDER}/${name}`);
      return reading.outcome === 'read' ? reading.bytes : new Uint8Array();
    }),
  );
  const roots = parseAskArk(askArk ?? new Uint8Array());
  const certificates = mergeChains({ ...own, cek: parseSevCertificate(signedCek ?? new Uint8Array()) }, roots);
  return { certificates, chain: verifyChain(certificates, { trustedRoot: roots.ark }) };
}

/**
 * A session that only this platform can open, under a policy; also for a platform that nothing vouches for: the verdict
 * on its chain was given when it was read.
 */
export function createOwnerSession({ certificates: { pdh } }: Platform, policy: number): LaunchSession {
  return createLaunchSession({ platform: { pdh }, policy, random: randomBytes, insecure: true });
}

/** As libvirt's XML takes it. */
export function sessionText({ godh, session }: Pick<LaunchSession, 'godh' | 'session'>) {
  return { dhCert: toBase64(godh), session: toBase64(session) };
}
