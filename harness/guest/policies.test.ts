import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LaunchSession } from '../../attestation/index.ts';
import { parseTik } from '../../attestation/index.ts';
import { demandsEs, FLAG_POLICIES, floorPolicies, RESERVED_POLICIES, sessionForPolicy } from './policies.ts';

describe('the policies of the matrix', () => {
  it('are every combination of the six flags, once', () => {
    expect(new Set(FLAG_POLICIES)).toEqual(new Set(Array.from({ length: 64 }, (_, value) => value)));
    expect(FLAG_POLICIES.filter(demandsEs)).toHaveLength(32);
  });

  it('have one reserved bit each, and all ten of them', () => {
    const bits = RESERVED_POLICIES.map((policy) => policy & 0xffc0);
    expect(bits.reduce((all, bit) => all | bit, 0)).toBe(0xffc0);
    expect(new Set(bits).size).toBe(10);
  });

  it('ask for a floor that the firmware has, or for one above it, compared major number first', () => {
    fc.assert(
      fc.property(fc.nat({ max: 255 }), fc.nat({ max: 255 }), (apiMajor, apiMinor) => {
        const rank = (policy: number) => ((policy >>> 16) & 0xff) * 256 + (policy >>> 24);
        const own = apiMajor * 256 + apiMinor;
        const { met, above } = floorPolicies({ apiMajor, apiMinor });
        expect(met.every((policy) => rank(policy) <= own && (policy & 0xffff) === 3)).toBe(true);
        expect(above.filter((policy) => rank(policy) <= own)).toEqual(own === 0xffff ? above : []);
        expect([...met, ...above].every((policy) => policy >= 0 && policy <= 0xffff_ffff)).toBe(true);
      }),
    );
  });
});

describe('a session for another policy', () => {
  const tik = parseTik(new Uint8Array(16).fill(7));
  const session = { session: new Uint8Array(128).fill(1), tik } as LaunchSession;

  it('differs in the MAC of the policy only, which its owner made', () => {
    const changed = sessionForPolicy(session, 0xff00_0041).session;
    expect(changed.slice(0, 0x60)).toEqual(session.session.slice(0, 0x60));
    const expected = createHmac('sha256', new Uint8Array(16).fill(7))
      .update(Uint8Array.of(0x41, 0, 0, 0xff))
      .digest();
    expect(Buffer.from(changed.slice(0x60))).toEqual(expected);
    expect(changed).toHaveLength(128);
  });
});
