import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explainSevPolicy, formatSevPolicy, inspectSevPolicy, parseSevPolicy } from './sev.ts';
import { formatSnpPolicy, inspectSnpPolicy, parseSnpPolicy } from './snp.ts';

const withCode = expect.objectContaining({ code: 'POLICY_INVALID' });

describe('SEV policy', () => {
  it.each([
    [0x0033, '0x0033 NODBG NOKS DOMAIN SEV'],
    [0x0003, '0x0003 NODBG NOKS'],
    [0x0037, '0x0037 NODBG NOKS ES DOMAIN SEV'],
    [0x0000, '0x0000'],
    [0x003f, '0x003f NODBG NOKS ES NOSEND DOMAIN SEV'],
    [0x11000001, '0x11000001 NODBG API>=0.17'],
    [0x33010005, '0x33010005 NODBG ES API>=1.51'],
    [0xffffffff, '0xffffffff NODBG NOKS ES NOSEND DOMAIN SEV API>=255.255 RESERVED(6,7,8,9,10,11,12,13,14,15)'],
  ])('%i is written %j', (value, text) => {
    expect(formatSevPolicy(value)).toBe(text);
  });

  it.each([51, '51', '0x33', '0X33', '0x0033', '0x000000000033'])('%j is read as 0x33', (input) => {
    expect(parseSevPolicy(input).value).toBe(0x33);
  });

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1.5,
    2 ** 32,
    2 ** 53,
    '',
    ' ',
    ' 51',
    '51 ',
    '51\n',
    '-1',
    '+1',
    '1e1',
    '1_0',
    '1.0',
    '033',
    '0b11',
    '0o63',
    '0x',
    '0xg',
    '33h',
    '4294967296',
    '0x100000000',
    '9'.repeat(10_000),
    'NODBG',
  ])('refuses %j', (input) => {
    expect(() => parseSevPolicy(input)).toThrow(withCode);
  });

  it('keeps any 32-bit number, and every bit of it is named, counted as version, or reported as reserved', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff }), (value) => {
        const policy = parseSevPolicy(value);
        const bits = { NODBG: 1, NOKS: 2, ES: 4, NOSEND: 8, DOMAIN: 16, SEV: 32 };
        const flags = policy.flags.reduce((sum, flag) => sum + bits[flag], 0);
        const version = policy.minApiMajor * 0x10000 + policy.minApiMinor * 0x1000000;
        expect(flags + policy.reserved + version).toBe(value);
        expect(parseSevPolicy(`0x${value.toString(16)}`)).toEqual(policy);
        expect(parseSevPolicy(String(value))).toEqual(policy);
        expect(inspectSevPolicy(policy).some((finding) => finding.level === 'refused')).toBe(policy.reserved !== 0);
      }),
    );
  });

  it('takes any text as a policy or refuses it with a code', () => {
    const digits = fc
      .oneof(fc.nat({ max: 0xffff_ffff }), fc.maxSafeNat())
      .chain((value) =>
        fc.constantFrom(
          String(value),
          `0x${value.toString(16)}`,
          value.toString(16),
          ` ${value}`,
          `${value}.0`,
          `-${value}`,
        ),
      );
    const anyText = fc.oneof(fc.string(), digits);
    fc.assert(
      fc.property(anyText, (text) => {
        // 32 bits, as decimal digits or in hex behind 0x, and nothing around them.
        const isNumber = /^(?:\d+|0[xX][0-9a-fA-F]+)$/.test(text) && Number(text) <= 0xffff_ffff;
        if (isNumber) expect(parseSevPolicy(text).value).toBe(Number(text));
        else expect(() => parseSevPolicy(text)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
      }),
    );
  });

  it.each([
    [0x0033, []],
    [0x0007, []],
    [0x0032, ['policy.debug-allowed']],
    [0x0031, ['policy.key-sharing-allowed']],
    [0x0000, ['policy.debug-allowed', 'policy.key-sharing-allowed']],
    [0x0043, ['policy.reserved-bits']],
    [0x8003, ['policy.reserved-bits']],
    [0x001b, ['policy.send-limits-without-sending']],
    [0x002b, ['policy.send-limits-without-sending']],
    [0x0013, ['policy.domain-without-sev']],
  ])('%i has exactly the findings %j', (value, ids) => {
    expect(inspectSevPolicy(parseSevPolicy(value)).map((finding) => finding.id)).toEqual(ids);
  });

  it('says all of NOSEND, DOMAIN and SEV when they contradict each other', () => {
    expect(inspectSevPolicy(parseSevPolicy(0x3b)).map((finding) => finding.text)).toEqual([
      'NOSEND forbids all migration, so DOMAIN and SEV limit nothing',
    ]);
  });

  it.each(['0x0033', '0x0003', '0x0037'])('explains %s in words', (text) => {
    expect(explainSevPolicy(parseSevPolicy(text)).join('\n')).toMatchSnapshot();
  });
});

describe('SEV-SNP policy', () => {
  it.each([
    [0x30000n, '0x30000 SMT'],
    ['0x30137', '0x30137 SMT ABI>=1.55'],
    ['720896', '0xb0000 SMT DEBUG'],
    [
      0x3ff0000,
      '0x3ff0000 SMT MIGRATE_MA DEBUG SINGLE_SOCKET CXL_ALLOW MEM_AES_256_XTS RAPL_DIS CIPHERTEXT_HIDING_DRAM PAGE_SWAP_DISABLE',
    ],
    [0x10000, '0x10000 SMT MISSING(17)'],
    [(1n << 63n) | 0x20000n, '0x8000000000020000 RESERVED(0x8000000000000000)'],
  ])('%s is written %s', (input, text) => {
    expect(formatSnpPolicy(parseSnpPolicy(input))).toBe(text);
  });

  it.each([-1n, 1n << 64n, -1, 1.5, 2 ** 53, '', '0x10000000000000000', '18446744073709551616', '0x3000g'])(
    'refuses %s',
    (input) => {
      expect(() => parseSnpPolicy(input)).toThrow(withCode);
    },
  );

  it.each([
    [0x30000, []],
    [0x10000, ['snp-policy.required-bit']],
    [0x4020000, ['snp-policy.reserved-bits']],
    [0xa0000, ['snp-policy.debug-allowed']],
    [0x60000, ['snp-policy.migration-agent-allowed']],
  ])('%i has exactly the findings %j', (value, ids) => {
    expect(inspectSnpPolicy(parseSnpPolicy(value)).map((finding) => finding.id)).toEqual(ids);
  });
});
