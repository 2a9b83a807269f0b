import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Mnonce, Tek, Tik } from '../brands.ts';
import { computeLaunchDigest } from '../measurement/digest.ts';
import { computeLaunchMeasurement, type LaunchContext, parseTik } from '../measurement/measurement.ts';
import { sampleOvmf } from '../measurement/sample-ovmf.ts';
import { validateLaunch } from '../validate/launch.ts';
import { type LaunchEvidence, verifyLaunch } from '../verify/launch.ts';
import { type ExplainInputs, explainLaunch } from './launch.ts';

const TIK = Uint8Array.of(201, 113, 87, 245, 62, 178, 99, 231, 144, 55, 208, 121, 190, 77, 166, 243) as Tik;
const TEK = Uint8Array.of(58, 219, 133, 71, 196, 105, 250, 92, 183, 64, 157, 228, 83, 172, 111, 239) as Tek;
const MNONCE = new Uint8Array(16).fill(9) as Mnonce;
const CONTEXT: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x5 };
const guestFirmware = sampleOvmf();
const digest = computeLaunchDigest({ guestFirmware });
const expected = computeLaunchMeasurement(new Secret(TIK), CONTEXT, digest, MNONCE);
const withTek = computeLaunchMeasurement(new Secret(TEK as Uint8Array as Tik), CONTEXT, digest, MNONCE);

/** Every way in which a part of some bytes could be written. */
function spellings(bytes: Uint8Array): string[] {
  const windows = Array.from({ length: bytes.length - 5 }, (_, start) => bytes.slice(start, start + 6));
  return windows.flatMap((window) => {
    const hex = toHex(window);
    const decimal = [...window];
    return [
      hex,
      hex.toUpperCase(),
      hex.replace(/(..)(?=.)/g, '$1 '),
      hex.replace(/(..)(?=.)/g, '$1:'),
      hex.replace(/(..)(?=.)/g, '$1, 0x'),
      toBase64(window),
      toBase64(window).replaceAll('+', '-').replaceAll('/', '_'),
      Buffer.from(window).toString('latin1'),
      decimal.join(', '),
      decimal.join(','),
      decimal.join('\n'),
    ];
  });
}

/** Everything that could reach a terminal, a file or a log. */
function printed(value: unknown): string {
  const parts = [
    inspect(value, {
      depth: Number.POSITIVE_INFINITY,
      showHidden: true,
      maxArrayLength: null,
      maxStringLength: null,
      breakLength: 80,
    }),
    JSON.stringify(value) ?? '',
    JSON.stringify(value, undefined, 1) ?? '',
    String(value),
  ];
  if (value instanceof Error)
    parts.push(value.stack ?? '', JSON.stringify(Object.getOwnPropertyDescriptors(value)), printed(value.cause));
  const text = parts.join('\n');
  // Arrays are printed in columns, and as objects with numbers as keys.
  return [text, text.replace(/\s+/g, ' '), text.replace(/\s*"\d+":\s*/g, '')].join('\n');
}

function leaks(output: string, ...secrets: readonly Uint8Array[]): string[] {
  return secrets.flatMap(spellings).filter((spelling) => output.includes(spelling));
}

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('expected an error');
}

test('the search itself finds keys in every spelling', () => {
  const secret = new Uint8Array(TIK);
  for (const revealed of [
    { tik: toHex(secret) },
    { tik: toBase64(secret) },
    { tik: toBase64(concatBytes(Uint8Array.of(1), secret)) },
    { tik: toBase64(concatBytes(Uint8Array.of(1, 2), secret)) },
    { tik: secret },
    { tik: [...secret] },
    new Error(Buffer.from(secret).toString('latin1')),
    { deep: { er: Buffer.from(secret) } },
  ]) {
    expect(leaks(printed(revealed), TIK).length, inspect(revealed)).toBeGreaterThan(0);
  }
});

describe('no output holds a byte sequence of the keys, or the measurement that would have matched', () => {
  const evidence: LaunchEvidence = {
    measurement: concatBytes(expected, MNONCE).map((byte, index) => (index === 0 ? byte ^ 0xff : byte)),
    context: CONTEXT,
    digest,
    tik: new Secret(TIK),
  };

  test.each<[string, Partial<LaunchEvidence>]>([
    ['a mismatch', {}],
    ['a malformed text', { measurement: '***' }],
    ['a short measurement', { measurement: new Uint8Array(32) }],
    ['a key of 17 bytes', { tik: new Secret(concatBytes(TIK, Uint8Array.of(1))) }],
    ['a key of 15 bytes', { tik: new Secret(TIK.slice(1)) }],
    ['the key in the place of the measurement', { measurement: TIK }],
    ['the key as base64 in the place of the measurement', { measurement: toBase64(TIK) }],
    ['the key as hex in the place of the measurement', { measurement: `${toHex(TIK)}!` }],
  ])('verifyLaunch: %s', (_, change) => {
    const result = verifyLaunch({ ...evidence, ...change });
    expect(result.ok).toBe(false);
    // The first bytes of the host's own measurement are changed above; the rest of it is no secret.
    expect(leaks(printed(result), TIK)).toEqual([]);
    expect(printed(result)).not.toContain(toHex(expected));
    expect(printed({ ...evidence, ...change }.tik)).not.toContain(toHex(TIK));
  });

  test.each<[string, () => unknown]>([
    ['parseTik of 15 bytes', () => parseTik(TIK.slice(1))],
    ['parseTik of 17 bytes', () => parseTik(concatBytes(TIK, Uint8Array.of(1)))],
    ['a policy out of range', () => verifyLaunch({ ...evidence, context: { ...CONTEXT, policy: -1 } })],
    [
      'the key in the place of the digest',
      () => computeLaunchMeasurement(new Secret(TIK), CONTEXT, TIK as Uint8Array as LaunchDigest, MNONCE),
    ],
    [
      'the key in the place of the nonce, doubled',
      () => computeLaunchMeasurement(new Secret(TIK), CONTEXT, digest, concatBytes(TIK, TIK) as Mnonce),
    ],
  ])('errors: %s', (_, run) => {
    expect(leaks(printed(caught(run)), TIK)).toEqual([]);
  });

  test.each<[string, Partial<ExplainInputs>]>([
    ['nothing found', {}],
    ['keys swapped', { measurement: concatBytes(withTek, MNONCE) }],
    ['a match', { measurement: concatBytes(expected, MNONCE) }],
    ['unreadable', { measurement: '***' }],
    ['the key in the place of the measurement', { measurement: toBase64(TIK) }],
  ])('explainLaunch: %s', async (_, change) => {
    const seen: unknown[] = [];
    const inputs: ExplainInputs = {
      measurement: evidence.measurement,
      context: CONTEXT,
      tik: new Secret(TIK),
      tek: new Secret(TEK),
      guest: { guestFirmware },
      ...change,
    };
    const explanation = await explainLaunch(inputs, {
      onProgress: (progress) => seen.push(progress),
      maxCandidates: 20_000,
    });
    expect(leaks(printed([explanation, seen]), TIK, TEK, expected, withTek)).toEqual([]);
    expect(leaks(printed([inputs.tik, inputs.tek]), TIK, TEK)).toEqual([]);
  });

  test('explainLaunch: errors', async () => {
    const tik = new Secret(concatBytes(TIK, TEK) as Uint8Array as Tik);
    const error = await explainLaunch({ ...evidence, tik, guest: { digest } }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'TIK_INVALID' });
    expect(leaks(printed(error), TIK, TEK)).toEqual([]);
  });

  test('validateLaunch takes no key at all', () => {
    const result = validateLaunch({ ...CONTEXT, digest }, { policyRequiredBits: 0x33, launchDigests: [] });
    expect(leaks(printed(result), TIK, TEK, expected)).toEqual([]);
  });
});
