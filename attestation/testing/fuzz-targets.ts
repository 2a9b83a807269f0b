import { Secret } from '../../core/secret.ts';
import { parseLaunchSessionBlob } from '../abi/launch-session.ts';
import { parseSecretHeader } from '../abi/secret-header.ts';
import type { LaunchMeasurement } from '../brands.ts';
import { encodeAmdCaCertificate, parseAmdCaCertificate } from '../certs/amd-ca.ts';
import { parseAskArk, parseCertChain, parseChainFile } from '../certs/chain-files.ts';
import { encodeSevCertificate, parseSevCertificate } from '../certs/sev-certificate.ts';
import { parseTik } from '../measurement/measurement.ts';
import { inspectSevPolicy, parseSevPolicy } from '../policy/sev.ts';
import { inspectSnpPolicy, parseSnpPolicy } from '../policy/snp.ts';
import { openLaunchSecret, type SecretKeys, sealLaunchSecret } from '../secrets/packet.ts';
import { buildSecretTable, parseSecretTable } from '../secrets/table.ts';
import { createLaunchSession, openLaunchSession } from '../session/launch-session.ts';
import { parseTek, parseTransportKeys } from '../session/transport-keys.ts';
import { verifyChain } from '../verify/chain.ts';
import { verifyRoots } from '../verify/chain-roots.ts';
import { forgePlatform } from './platform.ts';
import { seededRandom } from './seeded-random.ts';

/** Something that takes bytes from anyone. */
export interface FuzzTarget {
  readonly name: string;
  /** A valid input, to be mutated. */
  readonly seed: Uint8Array;
  /**
   * Returns whether the bytes were accepted. Refusals are `SevHarnessError` or `false`; any other error is a bug.
   */
  readonly run: (bytes: Uint8Array) => boolean;
  /** Whether every input other than the seed must be refused: signatures, MACs and strict fields cover each byte. */
  readonly sealed: boolean;
}

/** One target per parser and verifier of certificates, policies, sessions and secrets. */
export function fuzzTargets(): FuzzTarget[] {
  return [...certificateTargets(), ...policyTargets(), ...sessionTargets(), ...secretTargets()];
}

/** A parser that takes whatever is well formed. */
export const parsing = (name: string, seed: Uint8Array, parse: (bytes: Uint8Array) => unknown): FuzzTarget => ({
  name,
  seed,
  sealed: false,
  run: (bytes) => {
    parse(bytes);
    return true;
  },
});

function certificateTargets(): FuzzTarget[] {
  const { chain, files, verification } = forgePlatform({ random: seededRandom('fuzz platform') });
  const roots = verifyRoots(chain, verification);
  const { cek, pek, oca } = chain;
  return [
    parsing('sev-certificate', files.pdh, parseSevCertificate),
    parsing('amd-ca-certificate', encodeAmdCaCertificate(chain.ark), parseAmdCaCertificate),
    parsing('cert-chain', files.certChain, parseCertChain),
    parsing('ask-ark', files.askArk, parseAskArk),
    parsing('chain-file', files.fullExport, parseChainFile),
    {
      name: 'verify-chain',
      seed: files.fullExport,
      sealed: true,
      run: (bytes) => verifyChain(parseChainFile(bytes), verification).ok,
    },
    {
      name: 'verify-pdh',
      seed: encodeSevCertificate(chain.pdh),
      sealed: true,
      run: (bytes) => verifyChain({ cek, pek, oca, pdh: parseSevCertificate(bytes) }, { roots }).ok,
    },
  ];
}

function policyTargets(): FuzzTarget[] {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  return [
    parsing('sev-policy-text', Buffer.from('0x0033'), (bytes) => inspectSevPolicy(parseSevPolicy(text(bytes)))),
    parsing('snp-policy-text', Buffer.from('0x30000'), (bytes) => inspectSnpPolicy(parseSnpPolicy(text(bytes)))),
  ];
}

function sessionTargets(): FuzzTarget[] {
  const { chain, verification, privateKeys } = forgePlatform({ random: seededRandom('fuzz platform') });
  const random = seededRandom('fuzz session');
  const made = createLaunchSession({ platform: chain, verification, policy: 1, random });
  const open = (parts: { session: Uint8Array; godh: Uint8Array }) => {
    openLaunchSession({ ...parts, pdhPrivateKey: privateKeys.pdh, policy: 1 });
    return true;
  };
  return [
    parsing('launch-session-blob', made.session, parseLaunchSessionBlob),
    parsing('transport-keys', Uint8Array.of(...made.tek.reveal(), ...made.tik.reveal()), parseTransportKeys),
    { name: 'open-session', seed: made.session, sealed: true, run: (session) => open({ ...made, session }) },
    { name: 'open-session-godh', seed: made.godh, sealed: false, run: (godh) => open({ ...made, godh }) },
  ];
}

function secretTargets(): FuzzTarget[] {
  const random = seededRandom('fuzz secret');
  const keys: SecretKeys = {
    tik: parseTik(random(16)),
    tek: parseTek(random(16)),
    measurement: random(32) as LaunchMeasurement,
  };
  const table = buildSecretTable([{ guid: 'luks-key', secret: new Secret(random(20)) }]);
  const packet = sealLaunchSecret(table, keys, random);
  const open = (parts: { header: Uint8Array; payload: Uint8Array }) => {
    parseSecretTable(openLaunchSecret(parts, keys));
    return true;
  };
  return [
    parsing('secret-header', packet.header, parseSecretHeader),
    parsing('secret-table', table.reveal(), (bytes) => parseSecretTable(new Secret(bytes))),
    { name: 'open-secret-header', seed: packet.header, sealed: true, run: (header) => open({ ...packet, header }) },
    { name: 'open-secret-payload', seed: packet.payload, sealed: true, run: (payload) => open({ ...packet, payload }) },
  ];
}
