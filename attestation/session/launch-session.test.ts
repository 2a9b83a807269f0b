import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import { parseSevCertificate } from '../certs/sev-certificate.ts';
import { forgePlatform } from '../testing/platform.ts';
import { PLATFORM_DEFECTS, type PlatformDefect } from '../testing/platform-defects.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { verifyRoots } from '../verify/chain-roots.ts';
import { createLaunchSession, openLaunchSession, parseGuestOwnerCertificate } from './launch-session.ts';
import { parseTek, parseTransportKeys } from './transport-keys.ts';

const platform = forgePlatform({ random: seededRandom('session platform') });
const roots = verifyRoots(platform.chain, platform.verification);
const request = { platform: platform.chain, verification: { roots }, policy: 0x0001, random: seededRandom('owner') };
const session = createLaunchSession(request);
const pdhPrivateKey = platform.privateKeys.pdh;

const withCode = (code: string) => expect.objectContaining({ code });

describe('createLaunchSession', () => {
  it('makes a session that the platform opens, and only for its policy', () => {
    const opened = openLaunchSession({ ...session, pdhPrivateKey, policy: 0x0001 });
    expect(toHex(opened.tik.reveal())).toBe(toHex(session.tik.reveal()));
    expect(toHex(opened.tek.reveal())).toBe(toHex(session.tek.reveal()));
    expect(() => openLaunchSession({ ...session, pdhPrivateKey, policy: 0x0003 })).toThrow(
      withCode('SESSION_POLICY_MAC_MISMATCH'),
    );
  });

  it('gives a guest owner certificate with its own key and two empty slots', () => {
    const godh = parseSevCertificate(session.godh);
    expect(godh).toMatchObject({ usage: 'PDH', algorithm: 'ECDH-SHA256', slots: [undefined, undefined] });
    expect(toHex(godh.publicKey.x)).not.toBe(toHex(platform.chain.pdh.publicKey.x));
  });

  it('takes new keys and a new nonce each time', () => {
    const again = createLaunchSession(request);
    for (const key of ['godh', 'session'] as const) expect(toHex(again[key])).not.toBe(toHex(session[key]));
    expect(toHex(again.tik.reveal())).not.toBe(toHex(session.tik.reveal()));
    expect(toHex(session.tek.reveal())).not.toBe(toHex(session.tik.reveal()));
  });

  it('repeats itself for the same randomness, which only tests may do', () => {
    const twice = [1, 2].map(() => createLaunchSession({ ...request, random: seededRandom('same') }));
    expect(toHex(twice[0]?.session ?? new Uint8Array())).toBe(toHex(twice[1]?.session ?? new Uint8Array(1)));
  });

  it('refuses a platform whose root the caller does not trust, and names the row', () => {
    expect(() => createLaunchSession({ ...request, verification: {} })).toThrow(
      expect.objectContaining({
        code: 'SESSION_CHAIN_UNVERIFIED',
        message: expect.stringContaining('chain.ark-pinned'),
        details: expect.objectContaining({ verdict: 'invalid', rows: ['chain.ark-pinned'] }),
      }),
    );
  });

  it('refuses the firmware’s own export, whose CEK is unsigned', () => {
    const cek = { ...platform.chain.cek, slots: [undefined, undefined] as const };
    expect(() => createLaunchSession({ ...request, platform: { ...platform.chain, cek } })).toThrow(
      expect.objectContaining({ code: 'SESSION_CHAIN_UNVERIFIED', hint: expect.stringContaining('kdsintf.amd.com') }),
    );
  });

  it.each(Object.keys(PLATFORM_DEFECTS) as PlatformDefect[])('refuses a platform with defect %s', (defect) => {
    const { chain, verification } = forgePlatform({ defect });
    expect(() => createLaunchSession({ ...request, platform: chain, verification })).toThrow(
      withCode('SESSION_CHAIN_UNVERIFIED'),
    );
  });

  it('seals to an unverified PDH when told that this is insecure, and says what the chain was', () => {
    const { pdh } = platform.chain;
    const insecure = createLaunchSession({ ...request, platform: { pdh }, verification: {}, insecure: true });
    expect(insecure.chain.verdict).toBe('incomplete');
    expect(openLaunchSession({ ...insecure, pdhPrivateKey, policy: 1 }).tik).toBeInstanceOf(Secret);
  });

  it.each(['pdh-off-curve', 'pdh-point-zero'] as const)('refuses a PDH with defect %s even when insecure', (defect) => {
    const { chain } = forgePlatform({ defect });
    expect(() => createLaunchSession({ ...request, platform: chain, verification: {}, insecure: true })).toThrow(
      withCode('EC_POINT_INVALID'),
    );
  });

  it('refuses without a PDH even when insecure', () => {
    const { pek } = platform.chain;
    expect(() => createLaunchSession({ ...request, platform: { pek }, verification: {}, insecure: true })).toThrow(
      withCode('SESSION_CHAIN_UNVERIFIED'),
    );
  });

  it.each([
    ['a reserved bit', 0x0041],
    ['a negative number', -1],
    ['more than 32 bits', 2 ** 32],
    ['stray text', '0x1 '],
  ])('refuses a policy with %s', (_, policy) => {
    expect(() => createLaunchSession({ ...request, policy })).toThrow(withCode('POLICY_INVALID'));
  });

  it.each([
    ['nothing but zeros', (length: number) => new Uint8Array(length)],
    ['nothing but ones', (length: number) => new Uint8Array(length).fill(0xff)],
    ['too few bytes', () => new Uint8Array(1)],
  ])('refuses a source of randomness that gives %s', (_, random) => {
    expect(() => createLaunchSession({ ...request, random })).toThrow(withCode('RANDOM_SOURCE_BROKEN'));
  });

  it('keeps TIK and TEK out of everything that prints or serialises the session', () => {
    const planted = [session.tik, session.tek].map((key) => key.reveal());
    const printed = [inspect(session, { depth: 20 }), JSON.stringify(session), String(session.tik), `${session.tek}`];
    const shown = printed.join('\n');
    for (const key of planted) {
      for (const form of [toHex(key), toBase64(key), Array.from(key).join(', '), Array.from(key).join(',')]) {
        expect(shown).not.toContain(form);
      }
    }
  });
});

describe('openLaunchSession', () => {
  it('refuses every changed byte of the session blob', () => {
    const reasons = new Map<string, number>();
    for (let at = 0; at < session.session.length; at += 1) {
      const changed = Uint8Array.from(session.session);
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      try {
        openLaunchSession({ ...session, session: changed, pdhPrivateKey, policy: 1 });
        expect.unreachable(`byte ${at}`);
      } catch (error) {
        const code = (error as { code?: string }).code ?? String(error);
        reasons.set(code, (reasons.get(code) ?? 0) + 1);
      }
    }
    // Nonce, keys and wrap MAC; then the IV, which has no MAC of its own, and the policy MAC.
    expect(Object.fromEntries(reasons)).toEqual({ SESSION_WRAP_MAC_MISMATCH: 80, SESSION_POLICY_MAC_MISMATCH: 48 });
  });

  it('refuses the guest owner certificate of another session', () => {
    const other = createLaunchSession(request);
    expect(() => openLaunchSession({ ...session, godh: other.godh, pdhPrivateKey, policy: 1 })).toThrow(
      withCode('SESSION_WRAP_MAC_MISMATCH'),
    );
  });

  it('refuses a session that was made for another platform', () => {
    const other = forgePlatform({ random: seededRandom('another platform') });
    expect(() => openLaunchSession({ ...session, pdhPrivateKey: other.privateKeys.pdh, policy: 1 })).toThrow(
      withCode('SESSION_WRAP_MAC_MISMATCH'),
    );
  });

  it('ignores the signature slots of the guest owner certificate, as the firmware does', () => {
    const godh = Uint8Array.from(session.godh).fill(0xa5, 0x414);
    expect(parseGuestOwnerCertificate(godh)).toEqual(parseGuestOwnerCertificate(session.godh));
  });

  it.each([
    ['another usage', (godh: Uint8Array) => godh.fill(0x02, 0x008, 0x009), 'GODH_INVALID'],
    ['another algorithm', (godh: Uint8Array) => godh.fill(0x02, 0x00c, 0x00d), 'GODH_INVALID'],
    ['a point off the curve', (godh: Uint8Array) => godh.fill(0x01, 0x014, 0x015), 'EC_POINT_INVALID'],
    ['the point (0,0)', (godh: Uint8Array) => godh.fill(0, 0x014, 0x0a4), 'EC_POINT_INVALID'],
    ['a byte missing', (godh: Uint8Array) => godh.slice(1), 'SEV_CERTIFICATE_MALFORMED'],
  ])('refuses a guest owner certificate with %s', (_, change, code) => {
    const godh = change(Uint8Array.from(session.godh));
    expect(() => openLaunchSession({ ...session, godh, pdhPrivateKey, policy: 1 })).toThrow(withCode(code));
  });

  it.each([
    ['zero', new Uint8Array(48)],
    [
      'as large as n',
      fromHex('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'),
    ],
    ['one byte short', new Uint8Array(47).fill(1)],
  ])('refuses a private key that is %s', (_, key) => {
    const act = () => openLaunchSession({ ...session, pdhPrivateKey: new Secret(key ?? new Uint8Array()), policy: 1 });
    expect(act).toThrow(withCode('EC_SCALAR_INVALID'));
  });

  it('opens what it made, for any policy without reserved bits', () => {
    const policies = fc.tuple(fc.integer({ min: 0, max: 0x3f }), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(policies, ([flags, api]) => {
        const policy = flags + api * 0x10000;
        const made = createLaunchSession({ ...request, policy });
        const opened = openLaunchSession({ ...made, pdhPrivateKey, policy });
        expect(toHex(opened.tik.reveal())).toBe(toHex(made.tik.reveal()));
      }),
      { numRuns: 15 },
    );
  });
});

describe('transport keys', () => {
  it('are read from one file, TEK first', () => {
    const both = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
    const { tek, tik } = parseTransportKeys(both);
    expect([tek.reveal()[0], tik.reveal()[0]]).toEqual([1, 17]);
  });

  it.each([0, 15, 17, 32])('a TEK of %i bytes is refused', (length) => {
    expect(() => parseTek(new Uint8Array(length).fill(1))).toThrow(withCode('TEK_INVALID'));
  });

  it('keys that are all zero are refused, as of a launch without a session', () => {
    expect(() => parseTek(new Uint8Array(16))).toThrow(withCode('TEK_INVALID'));
    expect(() => parseTransportKeys(new Uint8Array(32))).toThrow(withCode('TEK_INVALID'));
    expect(() => parseTransportKeys(new Uint8Array(33))).toThrow(withCode('TEK_INVALID'));
  });
});
