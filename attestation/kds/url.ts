import { fromHex, isAllZero, toHex } from '../../core/bytes.ts';
import { attestationError } from '../errors.ts';
import {
  encodeTcb,
  PRODUCT_NAMES,
  SNP_PRODUCTS,
  type SnpProduct,
  type Tcb,
  type TcbComponent,
  tcbLayout,
} from '../snp/tcb.ts';
import { hwidLength, type VekKind } from '../snp/vek.ts';

/** Something that AMD's Key Distribution Service gives out. */
export type KdsResource =
  /** DER of one chip's VCEK at one TCB. */
  | { readonly kind: 'vcek'; readonly product: SnpProduct; readonly hwid: Uint8Array; readonly tcb: Tcb }
  /** DER of the asking cloud provider's VLEK at one TCB; needs that provider's credentials. */
  | { readonly kind: 'vlek'; readonly product: SnpProduct; readonly tcb: Tcb }
  /** PEM: ASK or ASVK, then ARK. */
  | { readonly kind: 'cert-chain'; readonly product: SnpProduct; readonly of: VekKind }
  /** DER of the ARK's revocation list. */
  | { readonly kind: 'crl'; readonly product: SnpProduct; readonly of: VekKind };

const ORIGIN = 'https://kdsintf.amd.com';
const CHIP_ID_LENGTH = 64;
const MAX_URL_LENGTH = 512;
const URL_FORM = /^https:\/\/kdsintf\.amd\.com\/(vcek|vlek)\/v1\/([A-Za-z]+)\/([0-9a-z_]+)(?:\?([A-Za-z0-9=&]*))?$/;
const SPL_FORM = /^([a-z]+)SPL=(\d{1,3})$/;

/**
 * The address of a resource. `hwid` may be a report's CHIP_ID, 64 bytes, on Turin too.
 *
 * Throws `KDS_URL_INVALID`, `TCB_INVALID`. AMD 57230, chapter 4.
 */
export function formatKdsUrl(resource: KdsResource): string {
  const folder = (of: VekKind) => `${ORIGIN}/${of}/v1/${PRODUCT_NAMES[resource.product]}`;
  switch (resource.kind) {
    case 'cert-chain':
      return `${folder(resource.of)}/cert_chain`;
    case 'crl':
      return `${folder(resource.of)}/crl`;
    case 'vlek':
      return `${folder('vlek')}/cert?${formatSpls(resource.tcb, resource.product)}`;
    case 'vcek':
      return `${folder('vcek')}/${toHex(chipHwid(resource))}?${formatSpls(resource.tcb, resource.product)}`;
  }
}

/**
 * What an address asks for; the inverse of `formatKdsUrl`, with the numbers in any order and with one to three digits.
 *
 * Throws `KDS_URL_INVALID`. AMD 57230, chapter 4.
 */
export function parseKdsUrl(url: string): KdsResource {
  const match = url.length > MAX_URL_LENGTH ? null : URL_FORM.exec(url);
  const [, of = '', name = '', item = '', query] = match ?? [];
  const product = SNP_PRODUCTS.find((candidate) => PRODUCT_NAMES[candidate] === name);
  if (match === null || product === undefined) throw invalid(url, 'it is no address of a SEV-SNP certificate');
  const kind = of as VekKind;
  if (item === 'cert_chain' || item === 'crl') {
    if (query !== undefined) throw invalid(url, `${item} takes no parameters`);
    return { kind: item === 'crl' ? 'crl' : 'cert-chain', product, of: kind };
  }
  const tcb = parseSpls(query ?? '', product, url);
  if (kind === 'vlek') {
    if (item !== 'cert') throw invalid(url, 'a VLEK stands at /cert');
    return { kind, product, tcb };
  }
  const hwid = fromHex(item);
  if (hwid?.length !== hwidLength(product)) {
    throw invalid(url, `expected a chip id of ${hwidLength(product)} bytes in hex for ${PRODUCT_NAMES[product]}`);
  }
  return { kind, product, hwid, tcb };
}

function chipHwid({ hwid, product }: { hwid: Uint8Array; product: SnpProduct }): Uint8Array {
  const length = hwidLength(product);
  const used = hwid.slice(0, length);
  const isWhole = hwid.length === length || (hwid.length === CHIP_ID_LENGTH && isAllZero(hwid.subarray(length)));
  if (isWhole && !isAllZero(used)) return used;
  throw attestationError(
    'KDS_URL_INVALID',
    `KDS: expected a chip id of ${length} bytes for ${PRODUCT_NAMES[product]}, got ${hwid.length} bytes${isAllZero(hwid) ? ', all zero' : ''}`,
    { hint: 'A chip id of zeros is masked (MASK_CHIP_KEY): such a chip is attested by a VLEK, or not at all.' },
  );
}

function formatSpls(tcb: Tcb, product: SnpProduct): string {
  const bytes = encodeTcb(tcb, product);
  return tcbLayout(product)
    .map(([component, offset]) => `${component}SPL=${String(bytes[offset]).padStart(2, '0')}`)
    .join('&');
}

function parseSpls(query: string, product: SnpProduct, url: string): Tcb {
  const values = new Map<string, number>();
  for (const parameter of query.split('&')) {
    const [, component = '', digits = ''] = SPL_FORM.exec(parameter) ?? [];
    const value = Number(digits);
    if (!tcbLayout(product).some(([known]) => known === component) || value > 0xff || values.has(component)) {
      throw invalid(
        url,
        `parameter ${JSON.stringify(parameter.slice(0, 32))} is not one of ${PRODUCT_NAMES[product]}, or there twice`,
      );
    }
    values.set(component, value);
  }
  const at = (component: TcbComponent): number => {
    const value = values.get(component);
    if (value === undefined) throw invalid(url, `${component}SPL is missing`);
    return value;
  };
  const common = { bl: at('bl'), tee: at('tee'), snp: at('snp'), ucode: at('ucode') };
  return product === 'turin' ? { fmc: at('fmc'), ...common } : common;
}

function invalid(url: string, rule: string) {
  return attestationError('KDS_URL_INVALID', `KDS address ${JSON.stringify(url.slice(0, 120))}: ${rule}`);
}
