import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLaunchSession, Secret, verifySession } from '../../attestation/index.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { createOwnerSession, type Platform, readPlatform } from './platform.ts';
import { forgeChain, ownerObjections, type Tampering, tamper, withOtherPdh } from './tampering.ts';

const POLICY = 3;

let host: Host;
let platform: Platform;

beforeAll(async () => {
  host = await openHost(parseHostName('fake:naples'));
  platform = await readPlatform(host, await readSevFacts(host));
});
afterAll(() => host?.close());

describe('a session that was tampered with', () => {
  test.each<[Tampering, string[]]>([
    ['wrapped keys', []],
    ['policy MAC', ['session.policy-bound']],
    ['point off the curve', ['session.godh-well-formed']],
    ['other key usage', ['session.godh-well-formed']],
    ['certificate too short', ['session.godh-well-formed']],
    ['session too short', ['session.blob-well-formed']],
  ])('%s: differs in this and in nothing else', (tampering, failed) => {
    const given = createOwnerSession(platform, POLICY);
    const changed = tamper(given, tampering);
    const { tik } = given;
    const verdict = verifySession({ session: changed.session, godh: changed.godh, tik, policy: POLICY });
    expect(verdict.checks.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id)).toEqual(failed);
    const isSame = [changed.godh, changed.session].map((bytes, at) =>
      Buffer.from(bytes).equals([given.godh, given.session][at] ?? Buffer.alloc(0)),
    );
    expect(isSame.filter((same) => !same)).toHaveLength(1);
  });

  test('is for another platform when its PDH is another, and has a point that is on the curve', () => {
    const other = withOtherPdh(platform);
    expect(other.certificates.pdh?.publicKey).not.toEqual(platform.certificates.pdh?.publicKey);
    const { godh, session } = createOwnerSession(other, POLICY);
    const pdhPrivateKey = new Secret(new Uint8Array(48).fill(1));
    expect(() => openLaunchSession({ godh, session, pdhPrivateKey, policy: POLICY })).toThrow(
      expect.objectContaining({ code: 'SESSION_WRAP_MAC_MISMATCH' }),
    );
  });
});

describe('an owner who insists on a verified platform', () => {
  test('has nothing against the genuine chain, and names the signature that a forged one lacks', () => {
    const { ark } = platform.certificates;
    expect(ownerObjections(platform.certificates, ark)).toEqual([]);
    expect(ownerObjections(forgeChain(platform, 'pdh'), ark)).toEqual(['chain.pdh-signed-by-pek']);
    expect(ownerObjections(platform.certificates, undefined)).toEqual(['chain.ark-pinned']);
  });
});
