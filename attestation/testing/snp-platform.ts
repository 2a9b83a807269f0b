import { concatBytes, fromHex } from '../../core/bytes.ts';
import type { SnpLaunchDigest } from '../brands.ts';
import { type EcKeyPair, generateEcKeyPair, p384Spki } from '../certs/p384.ts';
import type { RsaPublicKey } from '../certs/rsa-pss.ts';
import { type SnpReport, signedReportBytes } from '../snp/report.ts';
import { encodeTcb, PRODUCT_NAMES, type SnpProduct, type Tcb } from '../snp/tcb.ts';
import type { VekKind } from '../snp/vek.ts';
import { seededRandom } from './seeded-random.ts';
import { type ForgedCaKey, forgedCaKey, type PssSettings, signEcdsaSha384, signRsa } from './signing.ts';

/** Everything that a forged certificate says; each can be told to be wrong. */
export interface ForgedBody {
  readonly subject: string;
  readonly issuer: string;
  readonly organization: string;
  readonly serial: number;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly spki: Uint8Array;
  /** OID contents in hex, `critical` or not, value in hex. */
  readonly extensions: readonly (readonly [oid: string, critical: boolean, value: string])[];
  readonly algorithm: string;
}

/** Wrong keys and signatures; what is not named is right. */
export interface SnpForgeOptions {
  readonly product?: SnpProduct | undefined;
  readonly kind?: VekKind | undefined;
  readonly ark?: Partial<ForgedBody> | undefined;
  readonly ask?: Partial<ForgedBody> | undefined;
  readonly vek?: Partial<ForgedBody> | undefined;
  readonly crl?:
    | {
        readonly revoked?: readonly number[];
        readonly criticalExtension?: boolean;
        readonly issuer?: string;
        readonly nextUpdate?: string;
      }
    | undefined;
  readonly arkPss?: PssSettings | undefined;
  readonly askPss?: PssSettings | undefined;
  readonly vekPss?: PssSettings | undefined;
  /** Who signs in place of the right one. */
  readonly signedByOther?: 'ark' | 'ask' | 'vek' | 'crl' | 'report' | undefined;
  readonly report?: Partial<SnpReport> | undefined;
}

export interface ForgedSnp {
  readonly ark: Uint8Array;
  readonly ask: Uint8Array;
  readonly vek: Uint8Array;
  readonly crl: Uint8Array;
  readonly report: SnpReport;
  readonly vekKey: EcKeyPair;
  /** A moment at which all of it is valid. */
  readonly at: Date;
}

export const PSS_ALGORITHM =
  '304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130';
const AMD_PSS: PssSettings = { hash: 'sha384', saltLength: 48 };
const ARC = '2b060104019c7801';
export const TCB: Tcb = { bl: 3, tee: 0, snp: 8, ucode: 115 };
const CPUS = { milan: [0x19, 0x01], genoa: [0x19, 0x11], turin: [0x1a, 0x02] } as const;

/** Forges ARK, ASK or ASVK, VCEK or VLEK, revocation list and a version 5 report that they vouch for. */
export function forgeSnp(options: SnpForgeOptions = {}): ForgedSnp {
  const { product = 'milan', kind = 'vcek', signedByOther } = options;
  const name = PRODUCT_NAMES[product];
  const [arkKey, askKey] = [forgedCaKey('snp-ark', 4096), forgedCaKey('snp-ask', 4096)];
  const random = seededRandom('forged SEV-SNP');
  const [vekKey, stranger] = [generateEcKeyPair(random), generateEcKeyPair(random)];
  const arkName = `ARK-${name}`;
  const askName = kind === 'vcek' ? `SEV-${name}` : `SEV-VLEK-${name}`;
  const ark = ca(arkName, arkName, arkKey, 1, '30030101ff', '03020106');
  const ask = ca(askName, arkName, askKey, 2, '30060101ff020100', '03020104');
  const vek = {
    ...ask,
    subject: `SEV-${kind.toUpperCase()}`,
    issuer: askName,
    serial: 0,
    spki: p384Spki(vekKey.point),
    extensions: vekExtensions(product, kind),
  };
  const signer = (who: 'ark' | 'ask' | 'vek' | 'crl', right: ForgedCaKey) =>
    signedByOther === who ? forgedCaKey('snp-other', 4096) : right;
  return {
    ark: certificate({ ...ark, ...options.ark }, signer('ark', arkKey), options.arkPss ?? AMD_PSS),
    ask: certificate({ ...ask, ...options.ask }, signer('ask', arkKey), options.askPss ?? AMD_PSS),
    vek: certificate({ ...vek, ...options.vek }, signer('vek', askKey), options.vekPss ?? AMD_PSS),
    crl: revocationList(arkName, options.crl ?? {}, signer('crl', arkKey)),
    report: report(product, kind, signedByOther === 'report' ? stranger : vekKey, options.report),
    vekKey,
    at: new Date('2026-01-15T00:00:00Z'),
  };
}

function ca(
  subject: string,
  issuer: string,
  key: ForgedCaKey,
  serial: number,
  constraints: string,
  usage: string,
): ForgedBody {
  return {
    subject,
    issuer,
    organization: 'Advanced Micro Devices',
    serial,
    notBefore: '250101000000Z',
    notAfter: '300101000000Z',
    spki: rsaSpki(key),
    extensions: [
      ['551d13', true, constraints],
      ['551d0f', true, usage],
    ],
    algorithm: PSS_ALGORITHM,
  };
}

export function vekExtensions(product: SnpProduct, kind: VekKind): ForgedBody['extensions'] {
  const turin = product === 'turin';
  const spl = (number: string, value: number) => [`${ARC}03${number}`, false, hexOf(integer(value))] as const;
  return [
    [`${ARC}01`, false, '020101'],
    [`${ARC}02`, false, hexOf(der(0x16, Buffer.from(PRODUCT_NAMES[product])))],
    spl('01', TCB.bl),
    spl('02', TCB.tee),
    spl('03', TCB.snp),
    ...(turin ? [] : [spl('04', 0)]),
    ...['05', '06', '07'].map((number) => spl(number, 0)),
    spl('08', TCB.ucode),
    ...(turin ? [spl('09', 1)] : []),
    kind === 'vcek'
      ? [`${ARC}04`, false, hexOf(chip(product))]
      : [`${ARC}05`, false, hexOf(der(0x16, Buffer.from('CN=cloud.example')))],
  ];
}

function chip(product: SnpProduct): Uint8Array {
  return new Uint8Array(product === 'turin' ? 8 : 64).fill(0xc5);
}

function report(product: SnpProduct, kind: VekKind, key: EcKeyPair, edits: Partial<SnpReport> | undefined): SnpReport {
  const tcb = encodeTcb(product === 'turin' ? { ...TCB, fmc: 1 } : TCB, product);
  const [family, model] = CPUS[product];
  const fill = (length: number, value: number) => new Uint8Array(length).fill(value);
  const firmware = { major: 1, minor: 55, build: 29 };
  const body: SnpReport = {
    version: 5,
    guestSvn: 1,
    policy: 0x3_0000n,
    familyId: fill(16, 1),
    imageId: fill(16, 2),
    vmpl: 0,
    currentTcb: tcb,
    platformInfo: 1n,
    authorKeyEnabled: false,
    chipKeyMasked: false,
    signingKey: kind,
    reportData: fill(64, 3),
    measurement: fill(48, 4) as SnpLaunchDigest,
    hostData: fill(32, 5),
    idKeyDigest: fill(48, 0),
    authorKeyDigest: fill(48, 0),
    reportId: fill(32, 6),
    reportIdMa: fill(32, 0xff),
    reportedTcb: tcb,
    cpu: { family, model, stepping: 1 },
    chipId: concatBytes(chip(product), fill(64 - chip(product).length, 0)),
    committedTcb: tcb,
    current: firmware,
    committed: firmware,
    launchTcb: tcb,
    mitigations: { launch: 0n, current: 1n },
    signature: { r: fill(48, 0), s: fill(48, 0) },
    ...edits,
  };
  return { ...body, signature: edits?.signature ?? signEcdsaSha384(key, signedReportBytes(body)) };
}

function certificate(body: ForgedBody, signer: ForgedCaKey, pss: PssSettings): Uint8Array {
  const algorithm = bytes(body.algorithm);
  const signed = der(
    0x30,
    der(0xa0, integer(2)),
    integer(body.serial),
    algorithm,
    nameOf(body.issuer, body.organization),
    der(0x30, time(body.notBefore), time(body.notAfter)),
    nameOf(body.subject, body.organization),
    body.spki,
    der(0xa3, der(0x30, ...body.extensions.map(extension))),
  );
  return der(0x30, signed, algorithm, bits(signRsa(signer, signed, pss)));
}

function revocationList(arkName: string, edits: NonNullable<SnpForgeOptions['crl']>, signer: ForgedCaKey): Uint8Array {
  const revoked = edits.revoked?.map((serial) => der(0x30, integer(serial), time('250601000000Z')));
  const signed = der(
    0x30,
    integer(1),
    bytes(PSS_ALGORITHM),
    nameOf(edits.issuer ?? arkName, 'Advanced Micro Devices'),
    time('260101000000Z'),
    time(edits.nextUpdate ?? '270101000000Z'),
    ...(revoked === undefined ? [] : [der(0x30, ...revoked)]),
    der(0xa0, der(0x30, extension(['551d14', edits.criticalExtension === true, '020104']))),
  );
  return der(0x30, signed, bytes(PSS_ALGORITHM), bits(signRsa(signer, signed, AMD_PSS)));
}

function extension([oid, critical, value]: readonly [string, boolean, string]): Uint8Array {
  return der(0x30, der(0x06, bytes(oid)), ...(critical ? [bytes('0101ff')] : []), der(0x04, bytes(value)));
}

function nameOf(common: string, organization: string): Uint8Array {
  const parts: [type: string, value: string][] = [
    ['0b', 'Engineering'],
    ['06', 'US'],
    ['07', 'Santa Clara'],
    ['08', 'CA'],
    ['0a', organization],
    ['03', common],
  ];
  return der(
    0x30,
    ...parts.map(([type, value]) =>
      der(0x31, der(0x30, der(0x06, bytes(`5504${type}`)), der(type === '06' ? 0x13 : 0x0c, Buffer.from(value)))),
    ),
  );
}

export function rsaSpki(key: RsaPublicKey): Uint8Array {
  const exponent = key.exponent.toString(16);
  const rsaKey = der(
    0x30,
    der(0x02, concatBytes(Uint8Array.of(0), key.modulus)),
    der(0x02, bytes(exponent.padStart(exponent.length + (exponent.length % 2), '0'))),
  );
  return der(0x30, bytes('300d06092a864886f70d0101010500'), bits(rsaKey));
}

/** A number from 0 to 255. */
function integer(value: number): Uint8Array {
  return der(0x02, value < 0x80 ? Uint8Array.of(value) : Uint8Array.of(0, value));
}

function time(text: string): Uint8Array {
  return der(text.length === 13 ? 0x17 : 0x18, Buffer.from(text));
}

function bits(content: Uint8Array): Uint8Array {
  return der(0x03, Uint8Array.of(0), content);
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  const { length } = content;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
  return concatBytes(Uint8Array.of(tag, ...header), content);
}

function bytes(hex: string): Uint8Array {
  const found = fromHex(hex);
  if (found === undefined) throw new Error(`not hex: ${hex}`);
  return found;
}

function hexOf(content: Uint8Array): string {
  return Buffer.from(content).toString('hex');
}
