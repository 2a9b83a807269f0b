import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, LaunchMeasurement, Mnonce, Tik } from '../brands.ts';
import {
  computeLaunchMeasurement,
  decodeMeasurementText,
  type LaunchContext,
  measurementsEqual,
  parseLaunchMeasure,
  parseTik,
} from './measurement.ts';

const TIK = new Uint8Array(16).map((_, index) => index + 1) as Tik;
const digest = new Uint8Array(32).fill(0xd1) as LaunchDigest;
const mnonce = new Uint8Array(16).fill(0x9c) as Mnonce;
const context: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x0403_0201 };

describe('computeLaunchMeasurement', () => {
  test('is the HMAC over 4, versions, policy in little-endian order, digest and nonce', () => {
    const message = concatBytes(Uint8Array.of(4, 1, 55, 21, 1, 2, 3, 4), digest, mnonce);
    const expected = createHmac('sha256', TIK).update(message).digest('hex');
    expect(toHex(computeLaunchMeasurement(new Secret(TIK), context, digest, mnonce))).toBe(expected);
  });

  test.each([
    ['another API major version', { apiMajor: 2 }],
    ['another API minor version', { apiMinor: 56 }],
    ['another build', { buildId: 22 }],
    ['the highest policy bit', { policy: 0x8403_0201 }],
  ])('changes with %s', (_, change) => {
    const [one, other] = [context, { ...context, ...change }].map((each) =>
      computeLaunchMeasurement(new Secret(TIK), each, digest, mnonce),
    );
    expect(one).not.toEqual(other);
  });

  test.each([
    { apiMajor: 256 },
    { apiMajor: -1 },
    { apiMinor: 1.5 },
    { buildId: 256 },
    { buildId: Number.NaN },
    { policy: -1 },
    { policy: 0x1_0000_0000 },
    { policy: Number.POSITIVE_INFINITY },
  ])('refuses %o', (change) => {
    expect(() => computeLaunchMeasurement(new Secret(TIK), { ...context, ...change }, digest, mnonce)).toThrow(
      expect.objectContaining({ code: 'LAUNCH_INPUT_INVALID' }),
    );
  });

  test.each([
    ['digest of 31 bytes', digest.slice(1), mnonce],
    ['nonce of 17 bytes', digest, concatBytes(mnonce, mnonce.slice(0, 1))],
  ])('refuses a %s', (_, anyDigest, anyNonce) => {
    expect(() =>
      computeLaunchMeasurement(new Secret(TIK), context, anyDigest as LaunchDigest, anyNonce as Mnonce),
    ).toThrow(expect.objectContaining({ code: 'LAUNCH_INPUT_INVALID' }));
  });

  test('refuses a key that is all zero, even when it comes past parseTik', () => {
    const zero = new Secret(new Uint8Array(16) as Tik);
    expect(() => computeLaunchMeasurement(zero, context, digest, mnonce)).toThrow(
      expect.objectContaining({ code: 'TIK_INVALID' }),
    );
  });
});

describe('parseTik', () => {
  test.each([0, 15, 17, 32])('refuses %i bytes, and says how many', (length) => {
    expect(() => parseTik(new Uint8Array(length).fill(7))).toThrow(
      expect.objectContaining({ code: 'TIK_INVALID', message: `TIK is not usable: expected 16 bytes, got ${length}` }),
    );
  });

  test('refuses zeros, the key of a launch without session', () => {
    expect(() => parseTik(new Uint8Array(16))).toThrow(expect.objectContaining({ code: 'TIK_INVALID' }));
  });

  test('keeps a copy', () => {
    const bytes = Buffer.from(TIK);
    const tik = parseTik(bytes);
    bytes.fill(0);
    expect(tik.reveal()).toEqual(TIK);
  });
});

describe('the blob', () => {
  const blob = concatBytes(new Uint8Array(32).fill(1), new Uint8Array(16).fill(2));

  test('is measurement and nonce', () => {
    expect(parseLaunchMeasure(blob)).toEqual({ measurement: blob.slice(0, 32), mnonce: blob.slice(32) });
  });

  test('is copied', () => {
    const bytes = Buffer.from(blob);
    const parsed = parseLaunchMeasure(bytes);
    bytes.fill(0);
    expect(parsed).toEqual(parseLaunchMeasure(blob));
  });

  test.each([0, 32, 47, 49, 96])('of %i bytes is refused', (length) => {
    expect(() => parseLaunchMeasure(new Uint8Array(length))).toThrow(
      expect.objectContaining({
        code: 'LAUNCH_MEASUREMENT_MALFORMED',
        details: { expectedBytes: 48, actualBytes: length },
      }),
    );
  });

  test('comes back from its base64, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeMeasurementText(toBase64(bytes))).toEqual(bytes);
      }),
    );
  });

  const text = toBase64(concatBytes(blob, Uint8Array.of(0xfb, 0xff)));
  test.each([
    ['a line break at its end', `${text}\n`],
    ['a space in it', `${text.slice(0, 8)} ${text.slice(8)}`],
    ['a star in it', `${text.slice(0, 8)}*${text.slice(8)}`],
    ['URL-safe characters', text.replace('+', '-').replace('/', '_')],
    ['no padding', text.replaceAll('=', '')],
    ['surplus padding', `${text}====`],
    ['padding in the middle', `AA==${text}`],
    ['padding bits that are not zero', text.replace(/.=$/, 'x=')],
    ['a byte order mark', `\ufeff${text}`],
    ['a NUL at its end', `${text}\0`],
    ['characters beyond Latin-1', '\u{1f512}'.repeat(8)],
  ])('in base64 with %s is refused', (_, malformed) => {
    expect(malformed).not.toBe(text);
    expect(() => decodeMeasurementText(malformed)).toThrow(
      expect.objectContaining({ code: 'LAUNCH_MEASUREMENT_MALFORMED' }),
    );
  });
});

test('measurementsEqual compares all bytes and all lengths', () => {
  const one = new Uint8Array(32).fill(1) as LaunchMeasurement;
  const last = one.slice() as LaunchMeasurement;
  last[31] = 0;
  expect(measurementsEqual(one, one.slice() as LaunchMeasurement)).toBe(true);
  expect(measurementsEqual(one, last)).toBe(false);
  expect(measurementsEqual(one, one.slice(1) as LaunchMeasurement)).toBe(false);
});
