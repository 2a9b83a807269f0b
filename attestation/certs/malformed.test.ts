import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, toHex } from '../../core/bytes.ts';
import { ALGORITHM_CODES, USAGE_CODES, type Usage } from '../abi/codes.ts';
import { forgePlatform } from '../testing/platform.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { type AmdCaCertificate, encodeAmdCaCertificate, parseAmdCaCertificate } from './amd-ca.ts';
import { signedCekUrl } from './cek-url.ts';
import { encodeCertChain, mergeChains, parseAskArk, parseCertChain, parseChainFile } from './chain-files.ts';
import { productOfCpu } from './products.ts';
import {
  encodeSevCertificate,
  parseSevCertificate,
  type SevCertificate,
  type SignatureSlot,
} from './sev-certificate.ts';

const { chain, files } = forgePlatform({ random: seededRandom('malformed') });
const [pdh, pek, oca, cek] = [chain.pdh, chain.pek, chain.oca, chain.cek].map(encodeSevCertificate) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const ark = encodeAmdCaCertificate(chain.ark);
const ask = encodeAmdCaCertificate(chain.ask);

function patched(bytes: Uint8Array, offset: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(values, offset);
  return copy;
}

const refusal = (code: string, text: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(text) });

describe('SEV certificate', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['no bytes', new Uint8Array(), /expected exactly 2084 bytes, got 0/],
    ['a byte missing', pdh.slice(1), /got 2083/],
    ['a byte too many', concatBytes(pdh, Uint8Array.of(0)), /got 2085/],
    ['PEM text', Buffer.from(`-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}`), /PEM text/],
    ['base64 text', Buffer.from(Buffer.from(pdh).toString('base64')), /base64 text/],
    ['version 0', patched(pdh, 0x000, 0), /expected version 1, got 0/],
    ['version 2', patched(pdh, 0x000, 2), /expected version 1, got 2/],
    ['version 0x01000001', patched(pdh, 0x003, 1), /expected version 1, got 16777217/],
    ['a reserved byte', patched(pdh, 0x007, 1), /reserved field must be zero, found 0x01 at 0x007/],
    ['key usage INVALID', patched(pdh, 0x008, 0x00), /usage 0x1000/],
    ['an unknown key usage', patched(pdh, 0x008, 0x05), /usage 0x1005/],
    ['no key algorithm', patched(pdh, 0x00c, 0), /algorithm 0x000/],
    ['an RSA key algorithm', patched(pdh, 0x00c, 1), /algorithm 0x001/],
    ['an unknown key algorithm', patched(pdh, 0x00c, 4), /algorithm 0x004/],
    ['curve P-256', patched(pdh, 0x010, 1), /expected curve 2.*got 1/],
    ['curve 3', patched(pdh, 0x010, 3), /got 3/],
    ['QX above 384 bits', patched(pdh, 0x044, 1), /top of QX must be zero, found 0x01 at 0x044/],
    ['QY above 384 bits', patched(pdh, 0x0a3, 0x80), /top of QY must be zero/],
    ['bytes behind the key', patched(pdh, 0x413, 1), /rest of the public key must be zero/],
    ['R above 384 bits', patched(pdh, 0x44c, 1), /top of R in slot 1/],
    ['S above 384 bits', patched(pdh, 0x4ab, 1), /top of S in slot 1/],
    ['bytes behind the signature', patched(pdh, 0x61b, 1), /rest of slot 1/],
    [
      'a signer without algorithm',
      patched(pdh, 0x418, 0),
      /slot 1 is neither empty nor filled: usage 0x1002, algorithm 0x000/,
    ],
    ['an algorithm without signer', patched(pdh, 0x620, 2), /slot 2 is neither empty nor filled/],
    ['an unknown signer', patched(pdh, 0x414, 0x05), /usage 0x1005/],
    ['an unknown signature algorithm', patched(pdh, 0x418, 0x04), /algorithm 0x004/],
    ['an ECDH signature', patched(pdh, 0x418, 3), /ECDH-SHA256, which makes no signatures/],
    ['bytes in the empty slot', patched(pdh, 0x823, 1), /signature of empty slot 2 must be zero, found 0x01 at 0x823/],
  ])('with %s is refused', (_, bytes, text) => {
    expect(() => parseSevCertificate(bytes)).toThrow(refusal('SEV_CERTIFICATE_MALFORMED', text));
  });

  it('is what it was, for every certificate that the type can hold', () => {
    const usage = fc.constantFrom(...(Object.keys(USAGE_CODES) as Usage[]));
    const number = fc.uint8Array({ minLength: 48, maxLength: 48 }).map((bytes) => Uint8Array.from(bytes));
    const slot: fc.Arbitrary<SignatureSlot | undefined> = fc.option(
      fc.oneof(
        fc.record({
          signer: usage,
          algorithm: fc.constantFrom('ECDSA-SHA256' as const, 'ECDSA-SHA384' as const),
          r: number,
          s: number,
        }),
        fc.record({
          signer: usage,
          algorithm: fc.constantFrom('RSA-PSS-SHA256' as const, 'RSA-PSS-SHA384' as const),
          field: fc.uint8Array({ minLength: 512, maxLength: 512 }).map((bytes) => Uint8Array.from(bytes)),
        }),
      ),
      { nil: undefined },
    );
    const certificate: fc.Arbitrary<SevCertificate> = fc.record({
      usage,
      algorithm: fc.constantFrom('ECDSA-SHA256', 'ECDH-SHA256', 'ECDSA-SHA384', 'ECDH-SHA384'),
      apiMajor: fc.nat({ max: 255 }),
      apiMinor: fc.nat({ max: 255 }),
      publicKey: fc.record({ x: number, y: number }),
      slots: fc.tuple(slot, slot),
    });
    fc.assert(
      fc.property(certificate, (value) => {
        const bytes = encodeSevCertificate(value);
        expect(parseSevCertificate(bytes)).toEqual(value);
        expect(toHex(encodeSevCertificate(parseSevCertificate(bytes)))).toBe(toHex(bytes));
      }),
    );
  });

  it('keeps a copy: bytes changed after parsing change nothing', () => {
    const bytes = Buffer.from(pdh);
    const parsed = parseSevCertificate(bytes);
    bytes.fill(0xff);
    expect(toHex(encodeSevCertificate(parsed))).toBe(toHex(pdh));
  });

  it('knows each code once', () => {
    for (const codes of [USAGE_CODES, ALGORITHM_CODES]) {
      expect(new Set(Object.values(codes)).size).toBe(Object.keys(codes).length);
    }
  });
});

describe('AMD CA certificate', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['no bytes', new Uint8Array(), /expected 832 or 1600 bytes, got 0/],
    ['no signature', ark.slice(0, 576), /got 576/],
    ['a byte too many', concatBytes(ark, Uint8Array.of(0)), /got 833/],
    ['version 2', patched(ark, 0x00, 2), /expected version 1, got 2/],
    ['the usage of a PEK', patched(ark, 0x24, 0x02, 0x10), /usage 0x1002 is neither/],
    ['a reserved byte', patched(ark, 0x37, 1), /reserved field must be zero, found 0x01 at 0x037/],
    ['no exponent size', patched(ark, 0x38, 0, 0), /sizes of 2048 bits in 832 bytes, got 0 and 2048/],
    ['a modulus of 4096 bits in 832 bytes', patched(ark, 0x3c, 0x00, 0x10), /got 2048 and 4096/],
    ['a huge modulus', patched(ark, 0x3c, 0xff, 0xff, 0xff, 0xff), /got 2048 and 4294967295/],
  ])('with %s is refused', (_, bytes, text) => {
    expect(() => parseAmdCaCertificate(bytes)).toThrow(refusal('CA_CERTIFICATE_MALFORMED', text));
  });

  it('is what it was, for every certificate that the type can hold', () => {
    const bytes = (length: number) =>
      fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Uint8Array.from(b));
    const certificate: fc.Arbitrary<AmdCaCertificate> = fc.constantFrom(256, 512).chain((size) =>
      fc.record({
        usage: fc.constantFrom('ARK', 'ASK'),
        keyId: bytes(16),
        certifyingId: bytes(16),
        modulus: bytes(size),
        exponent: fc.bigInt({ min: 0n, max: (1n << BigInt(size * 8)) - 1n }),
        signature: bytes(size),
      }),
    );
    fc.assert(
      fc.property(certificate, (value) => {
        const encoded = encodeAmdCaCertificate(value);
        expect(parseAmdCaCertificate(encoded)).toEqual(value);
        expect(toHex(encodeAmdCaCertificate(parseAmdCaCertificate(encoded)))).toBe(toHex(encoded));
      }),
    );
  });
});

describe('files', () => {
  it('of every accepted form give the same certificates', () => {
    const all = { pdh: chain.pdh, pek: chain.pek, oca: chain.oca, cek: chain.cek, ask: chain.ask, ark: chain.ark };
    const forms = [
      [pdh, pek, oca, cek, ask, ark],
      [pdh, concatBytes(pek, oca, cek), concatBytes(ask, ark)],
      [concatBytes(pdh, pek, oca, cek), concatBytes(ask, ark)],
      [concatBytes(pdh, pek, oca, cek, ask, ark)],
      [files.fullExport],
      [files.pdh, files.certChain, files.cek, files.askArk],
    ];
    for (const form of forms) expect(mergeChains(...form.map(parseChainFile))).toEqual(all);
    expect(toHex(encodeCertChain(chain))).toBe(toHex(concatBytes(pek, oca, cek)));
  });

  it('of 4096-bit products are told apart by length', () => {
    const widen = (certificate: AmdCaCertificate): AmdCaCertificate => ({
      ...certificate,
      modulus: new Uint8Array(512).fill(0xc3),
      signature: new Uint8Array(512).fill(0x3c),
    });
    const wide = { ask: widen(chain.ask), ark: widen(chain.ark) };
    const askArk = concatBytes(encodeAmdCaCertificate(wide.ask), encodeAmdCaCertificate(wide.ark));
    const whole = concatBytes(pdh, pek, oca, cek, askArk);
    expect([askArk.length, whole.length]).toEqual([3200, 11536]);
    expect(parseChainFile(whole)).toEqual({ ...chain, ...wide });
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['two certificates', concatBytes(pek, oca)],
    ['a byte behind cert-chain', concatBytes(pek, oca, cek, Uint8Array.of(0))],
    ['PDH and PEK with ASK and ARK', concatBytes(pdh, pek, ask, ark)],
    ['three CA certificates', concatBytes(ask, ark, ark)],
    ['a megabyte', new Uint8Array(1 << 20)],
  ])('of no known form are refused: %s', (_, bytes) => {
    expect(() => parseChainFile(bytes)).toThrow(
      refusal('CHAIN_FILE_UNKNOWN', new RegExp(`a file of ${bytes.length} bytes`)),
    );
  });

  it('of text are refused with a hint', () => {
    const text = Buffer.from('-----BEGIN CERTIFICATE-----\n');
    expect(() => parseChainFile(text)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('no PEM form') }),
    );
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['OCA PEK CEK', concatBytes(oca, pek, cek), /certificate 1 .* has key usage OCA, expected PEK/],
    ['PEK OCA PDH', concatBytes(pek, oca, pdh), /certificate 3 .* has key usage PDH, expected CEK/],
    ['PEK PDH OCA CEK', concatBytes(pek, pdh, oca, cek), /certificate 1 .* PDH, PEK, OCA, CEK has key usage PEK/],
    ['ARK ASK', concatBytes(ark, ask), /has key usage ARK, expected ASK/],
    ['ASK ASK', concatBytes(ask, ask), /certificate 2 .* has key usage ASK, expected ARK/],
    ['an SEV certificate with the usage of an ASK', patched(pdh, 0x008, 0x13, 0x00), /has key usage ASK, expected PDH/],
  ])('in another order are refused: %s', (_, bytes, text) => {
    expect(() => parseChainFile(bytes)).toThrow(refusal('CHAIN_CERTIFICATE_MISPLACED', text));
  });

  it('are taken only in the one form that is asked for', () => {
    expect(() => parseCertChain(pdh)).toThrow(refusal('CHAIN_FILE_UNKNOWN', /2084/));
    expect(() => parseAskArk(ask)).toThrow(refusal('CHAIN_FILE_UNKNOWN', /832/));
  });

  it('that contradict each other are refused, and the same twice is fine', () => {
    const other = forgePlatform({ random: seededRandom('other') });
    expect(mergeChains(parseChainFile(pdh), parseChainFile(pdh))).toEqual({ pdh: chain.pdh });
    for (const role of ['pdh', 'pek', 'oca', 'cek', 'ask', 'ark'] as const) {
      const act = () => mergeChains(chain, { [role]: other.chain[role] });
      expect(act).toThrow(refusal('CHAIN_CERTIFICATES_CONFLICT', new RegExp(role.toUpperCase())));
    }
  });

  it('let a signed CEK take the place of the unsigned one, in either order, and of no other key', () => {
    const unsigned = parseCertChain(files.certChain);
    expect(unsigned.cek?.apiMinor).not.toBe(chain.cek.apiMinor);
    const signed = { cek: chain.cek };
    expect(mergeChains(unsigned, signed).cek).toEqual(chain.cek);
    expect(mergeChains(signed, unsigned).cek).toEqual(chain.cek);
    const signedAnew = { cek: { ...chain.cek, slots: [chain.cek.slots[0], chain.cek.slots[0]] as const } };
    expect(() => mergeChains(signed, signedAnew)).toThrow(refusal('CHAIN_CERTIFICATES_CONFLICT', /CEK/));
    const other = forgePlatform({ random: seededRandom('other') }).chain.cek;
    expect(() => mergeChains(unsigned, { cek: other })).toThrow(refusal('CHAIN_CERTIFICATES_CONFLICT', /CEK/));
  });
});

it('the address of a signed CEK takes the 64 bytes of one socket', () => {
  expect(signedCekUrl(new Uint8Array(64).fill(0xab))).toBe(`https://kdsintf.amd.com/cek/id/${'AB'.repeat(64)}`);
  expect(() => signedCekUrl(new Uint8Array(128))).toThrow(refusal('CHIP_ID_INVALID', /got 128/));
});

it.each([
  [0x17, 0x01, 'naples'],
  [0x17, 0x31, 'rome'],
  [0x19, 0x01, 'milan'],
  [0x19, 0x11, 'genoa'],
  [0x19, 0xa0, 'genoa'],
  [0x1a, 0x02, 'turin'],
  [0x1a, 0x50, undefined],
  [0x06, 0x8f, undefined],
])('a CPU of family %i, model %i is %s', (family, model, product) => {
  expect(productOfCpu(family, model)).toBe(product);
});
