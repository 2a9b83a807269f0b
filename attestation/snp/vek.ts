import { toHex } from '../../core/bytes.ts';
import type { Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';
import { latin1, parseDer, readByte, TAG } from './der.ts';
import { encodeTcb, PRODUCT_NAMES, SNP_PRODUCTS, type SnpProduct, type Tcb } from './tcb.ts';
import type { X509Certificate } from './x509.ts';

/** VCEK: the key of one chip at one TCB. VLEK: the key that AMD gave a cloud provider, at one TCB. */
export type VekKind = 'vcek' | 'vlek';

/** What AMD says in the extensions of a VCEK or VLEK. */
export interface VekClaims {
  readonly product: SnpProduct;
  /** With stepping, as written: `Milan-B0`. */
  readonly productName: string;
  readonly tcb: Tcb;
  /** The TCB as a report encodes it, 8 bytes. */
  readonly tcbBytes: Uint8Array;
  /** 64 bytes, 8 on Turin; a VLEK has none. */
  readonly hwid: Uint8Array | undefined;
  /** Who holds a VLEK. */
  readonly cspId: string | undefined;
}

// AMD "Versioned Chip Endorsement Key" 57230, table of extensions, under 1.3.6.1.4.1.3704.1.
const ARC = '2b060104019c7801';
const EXTENSION_NAMES: Readonly<Record<string, string>> = {
  [`${ARC}01`]: 'structVersion',
  [`${ARC}02`]: 'productName',
  [`${ARC}0301`]: 'blSPL',
  [`${ARC}0302`]: 'teeSPL',
  [`${ARC}0303`]: 'snpSPL',
  [`${ARC}0304`]: 'spl4',
  [`${ARC}0305`]: 'spl5',
  [`${ARC}0306`]: 'spl6',
  [`${ARC}0307`]: 'spl7',
  [`${ARC}0308`]: 'ucodeSPL',
  [`${ARC}0309`]: 'fmcSPL',
  [`${ARC}04`]: 'HWID',
  [`${ARC}05`]: 'CSP_ID',
};

const COMMON = ['structVersion', 'productName', 'blSPL', 'teeSPL', 'snpSPL', 'spl5', 'spl6', 'spl7', 'ucodeSPL'];
const RESERVED = ['spl4', 'spl5', 'spl6', 'spl7'];

/**
 * Reads the extensions of a VCEK or VLEK: exactly those that AMD writes, none missing, none more, none critical.
 *
 * Throws `X509_MALFORMED`. AMD 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface".
 */
export function readVekClaims(certificate: X509Certificate, kind: VekKind): VekClaims {
  const malformed: Malformed = (rule) =>
    attestationError('X509_MALFORMED', `${kind.toUpperCase()} extensions: ${rule}`);
  const values = new Map<string, Uint8Array>();
  for (const [oid, { critical, value }] of certificate.extensions) {
    const name = EXTENSION_NAMES[oid];
    if (name === undefined) throw malformed(`OID ${oid} (hex) is none of them`);
    if (critical) throw malformed(`${name} is critical`);
    values.set(name, value);
  }
  const required = (name: string): Uint8Array => {
    const value = values.get(name);
    if (value === undefined) throw malformed(`${name} is missing`);
    return value;
  };
  const text = (name: string) => latin1(parseDer(required(name), malformed).primitive(TAG.IA5_STRING, name));
  const number = (name: string) => readByte(parseDer(required(name), malformed), name, malformed);

  const productName = text('productName');
  const product = SNP_PRODUCTS.find((candidate) => PRODUCT_NAMES[candidate] === productName.split('-')[0]);
  if (product === undefined) throw malformed(`productName ${JSON.stringify(productName.slice(0, 32))} is not known`);
  const isTurin = product === 'turin';
  const expected = [...COMMON, isTurin ? 'fmcSPL' : 'spl4', kind === 'vcek' ? 'HWID' : 'CSP_ID'];
  for (const name of expected) required(name);
  const surplus = [...values.keys()].find((name) => !expected.includes(name));
  if (surplus !== undefined) throw malformed(`${surplus} does not belong to a ${kind.toUpperCase()} of ${product}`);
  for (const name of RESERVED) {
    if (values.has(name) && number(name) !== 0) throw malformed(`${name} is reserved, expected 0, got ${number(name)}`);
  }
  number('structVersion');
  const tcb = {
    bl: number('blSPL'),
    tee: number('teeSPL'),
    snp: number('snpSPL'),
    ucode: number('ucodeSPL'),
    ...(isTurin ? { fmc: number('fmcSPL') } : {}),
  };
  return {
    product,
    productName,
    tcb,
    tcbBytes: encodeTcb(tcb, product),
    hwid: kind === 'vcek' ? readHwid(required('HWID'), hwidLength(product), malformed) : undefined,
    cspId: kind === 'vlek' ? text('CSP_ID') : undefined,
  };
}

/** Bytes of a chip id that a product uses. */
export function hwidLength(product: SnpProduct): number {
  return product === 'turin' ? 8 : 64;
}

/** AMD writes the bytes as they are; its specification also allows them inside an OCTET STRING. */
function readHwid(value: Uint8Array, length: number, malformed: Malformed): Uint8Array {
  if (value.length === length) return value;
  if (value.length === length + 2 && toHex(value.subarray(0, 2)) === `04${length.toString(16).padStart(2, '0')}`) {
    return value.slice(2);
  }
  throw malformed(`HWID: expected ${length} bytes, or ${length + 2} with a header, got ${value.length}`);
}
