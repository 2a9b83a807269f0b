import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { KNOWN_SEV_FIRMWARE } from './known-sev-firmware.ts';
import { type Case, CONTEXT, digestOf, dimensions, explain, MNONCE, measured, TEK } from './sample-launch.ts';

const B64 = toBase64(measured());
const CASES: Case[] = [
  {
    name: 'the launch digest in the place of the measurement, with the nonce',
    measurement: concatBytes(digestOf({}), MNONCE),
    dimension: 'measurement-kind',
    words: 'what was given as the measurement is the launch digest itself',
  },
  {
    name: 'hex for base64',
    measurement: toHex(measured()),
    dimension: 'measurement-encoding',
    words: /is read as hex$/,
  },
  { name: 'hex with 0x', measurement: `0x${toHex(measured())}`, dimension: 'measurement-encoding', words: /as hex$/ },
  {
    name: 'a line break at the end',
    measurement: `${B64}\n`,
    dimension: 'measurement-encoding',
    words: /as text with white space in it$/,
  },
  {
    name: 'the URL-safe alphabet',
    // A measurement that has characters of either alphabet in it.
    measurement: Array.from({ length: 64 }, (_, buildId) => toBase64(measured({ context: { buildId } })))
      .find((text) => /[+/]/.test(text))
      ?.replaceAll('+', '-')
      .replaceAll('/', '_') as string,
    given: {
      context: {
        ...CONTEXT,
        buildId: Array.from({ length: 64 }, (_, buildId) => buildId).find((buildId) =>
          /[+/]/.test(toBase64(measured({ context: { buildId } }))),
        ) as number,
      },
    },
    dimension: 'measurement-encoding',
    words: /URL-safe base64$/,
  },
  {
    name: 'base64 encoded twice',
    measurement: toBase64(Buffer.from(B64)),
    dimension: 'measurement-encoding',
    words: /encoded twice$/,
  },
  {
    name: 'a trailing byte',
    measurement: toBase64(concatBytes(measured(), Uint8Array.of(0))),
    dimension: 'measurement-encoding',
    words: /measurement with 1 surplus byte behind it$/,
  },
  {
    name: 'nonce before measurement',
    measurement: concatBytes(MNONCE, measured().slice(0, 32)),
    dimension: 'measurement-encoding',
    words: /nonce before measurement$/,
  },
  {
    name: 'the measurement without its nonce, which was given beside it',
    measurement: measured().slice(0, 32),
    given: { mnonce: MNONCE },
    dimension: 'measurement-encoding',
    words: /measurement without its nonce$/,
  },
  {
    name: 'the text of the measurement as bytes',
    measurement: Buffer.from(B64),
    dimension: 'measurement-encoding',
    words: /text instead of its bytes$/,
  },
  { name: 'TIK and TEK swapped', truth: { key: TEK }, dimension: 'tik', words: 'TIK and TEK are swapped' },
  {
    name: 'the policy in big-endian byte order',
    truth: { context: { policy: 0x0500_0000 } },
    dimension: 'policy',
    words: 'the policy 0x00000005 was taken in big-endian byte order',
  },
  {
    name: 'a flag of a known policy and more',
    truth: { context: { policy: 0x33 } },
    dimension: 'policy',
    words: 'the policy is 0x0033 NODBG NOKS DOMAIN SEV, not 0x0005 NODBG ES',
  },
  {
    name: 'an API floor in the policy',
    truth: { context: { policy: 0x1_0005 } },
    dimension: 'policy',
    words: 'the policy is 0x00010005 NODBG ES API>=1.0, not 0x0005 NODBG ES: bit 16 differs',
  },
  ...[
    [0, 'NODBG', '0x0004 ES'],
    [1, 'NOKS', '0x0007 NODBG NOKS ES'],
    [2, 'ES', '0x0001 NODBG'],
    [3, 'NOSEND', '0x000d NODBG ES NOSEND'],
    [4, 'DOMAIN', '0x0015 NODBG ES DOMAIN'],
    [5, 'SEV', '0x0025 NODBG ES SEV'],
  ].map(
    ([bit, name, policy]): Case => ({
      name: `policy flag ${name}`,
      truth: { context: { policy: 0x5 ^ (1 << Number(bit)) } },
      dimension: 'policy',
      words: `the policy is ${policy}, not 0x0005 NODBG ES: bit ${bit} (${name}) differs`,
    }),
  ),
  ...KNOWN_SEV_FIRMWARE.filter(({ buildId, apiMinor }) => buildId !== 21 || apiMinor !== 55).map(
    ({ apiMajor, apiMinor, buildId, product }): Case => ({
      name: `SEV firmware ${apiMajor}.${apiMinor} build ${buildId}`,
      truth: { context: { apiMajor, apiMinor, buildId } },
      dimension: 'sev-firmware',
      words: new RegExp(
        `^the SEV firmware is ${apiMajor}\\.${apiMinor} build ${buildId} \\(${product};.*\\), not 1\\.55 build 21$`,
      ),
    }),
  ),
  {
    name: 'API major and minor swapped',
    truth: { context: { apiMajor: 55, apiMinor: 1 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 55.1 build 21 (major and minor were swapped), not 1.55 build 21',
  },
  {
    name: 'a build that nobody has seen',
    truth: { context: { buildId: 200 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 1.55 build 200, not 1.55 build 21',
  },
  {
    name: 'an API version that nobody has seen',
    truth: { context: { apiMinor: 77 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 1.77 build 21, not 1.55 build 21',
  },
];

describe('a single change outside the launch digest', () => {
  test.each(CASES)('names $name', async ({ measurement, truth, given, dimension, words }) => {
    const explanation = await explain(measurement ?? toBase64(measured(truth)), given);
    expect(dimensions(explanation)).toEqual([dimension]);
    const found = explanation.outcome === 'explained' ? explanation.changes[0] : undefined;
    if (typeof words === 'string') expect(found?.words).toBe(words);
    else expect(found?.words).toMatch(words);
    expect(found?.advice.length).toBeGreaterThan(20);
  });

  test('the table has a case for every dimension', () => {
    expect(new Set(CASES.map(({ dimension }) => dimension))).toEqual(
      new Set(['measurement-encoding', 'measurement-kind', 'tik', 'sev-firmware', 'policy']),
    );
  });
});
