import { fieldWriter } from '../abi/fields.ts';
import type { Product } from '../certs/products.ts';
import { attestationError } from '../errors.ts';

/** A line of processors with SEV-SNP. */
export type SnpProduct = Exclude<Product, 'naples' | 'rome'>;

export const SNP_PRODUCTS: readonly SnpProduct[] = ['milan', 'genoa', 'turin'];

/** How AMD writes a product in names, extensions and addresses. */
export const PRODUCT_NAMES: Readonly<Record<SnpProduct, string>> = { milan: 'Milan', genoa: 'Genoa', turin: 'Turin' };

export type TcbComponent = 'fmc' | 'bl' | 'tee' | 'snp' | 'ucode';

/** Security version numbers, 0 to 255 each. Turin alone has `fmc`. */
export type Tcb = Readonly<Record<Exclude<TcbComponent, 'fmc'>, number>> & { readonly fmc?: number | undefined };

export const TCB_LENGTH = 8;

type Layout = readonly (readonly [component: TcbComponent, offset: number])[];

// SEV-SNP ABI 56860, TCB_VERSION: Milan and Genoa keep bytes 2 to 5 reserved, Turin 4 to 6.
const MILAN: Layout = [
  ['bl', 0],
  ['tee', 1],
  ['snp', 6],
  ['ucode', 7],
];
const TURIN: Layout = [
  ['fmc', 0],
  ['bl', 1],
  ['tee', 2],
  ['snp', 3],
  ['ucode', 7],
];

export function tcbLayout(product: SnpProduct): Layout {
  return product === 'turin' ? TURIN : MILAN;
}

/** The security versions in a TCB_VERSION of 8 bytes. Throws `TCB_INVALID` for another length and for reserved bytes that are set. */
export function parseTcb(bytes: Uint8Array, product: SnpProduct): Tcb {
  if (bytes.length !== TCB_LENGTH) {
    throw attestationError('TCB_INVALID', `TCB version: expected ${TCB_LENGTH} bytes, got ${bytes.length}`);
  }
  const layout = tcbLayout(product);
  const reserved = bytes.findIndex((byte, offset) => byte !== 0 && !layout.some(([, used]) => used === offset));
  if (reserved >= 0) {
    throw attestationError(
      'TCB_INVALID',
      `TCB version of ${product}: byte ${reserved} must be zero, found ${bytes[reserved]}`,
    );
  }
  const at = (component: TcbComponent) => {
    const offset = layout.find(([name]) => name === component)?.[1];
    return offset === undefined ? undefined : bytes[offset];
  };
  const fmc = at('fmc');
  return {
    bl: at('bl') ?? 0,
    tee: at('tee') ?? 0,
    snp: at('snp') ?? 0,
    ucode: at('ucode') ?? 0,
    ...(fmc === undefined ? {} : { fmc }),
  };
}

/** The inverse of `parseTcb`. Throws `TCB_INVALID`. */
export function encodeTcb(tcb: Tcb, product: SnpProduct): Uint8Array {
  const layout = tcbLayout(product);
  if ((tcb.fmc !== undefined) !== (product === 'turin')) {
    throw attestationError('TCB_INVALID', `TCB version of ${product}: fmc belongs to Turin, and only there`);
  }
  const fields = fieldWriter(TCB_LENGTH);
  for (const [component, offset] of layout) {
    const value = tcb[component] ?? 0;
    if (!Number.isInteger(value) || value < 0 || value > 0xff) {
      throw attestationError('TCB_INVALID', `TCB version: ${component} is 0 to 255, got ${value}`);
    }
    fields.u8(offset, value);
  }
  return fields.finish();
}

/** Components of `actual` that are older than `minimum`. Compared one by one: as one number, a new microcode hides an old boot loader. */
export function olderComponents(actual: Tcb, minimum: Tcb): TcbComponent[] {
  return (['fmc', 'bl', 'tee', 'snp', 'ucode'] as const).filter((name) => (actual[name] ?? 0) < (minimum[name] ?? 0));
}

/** `bl 3 tee 0 snp 8 ucode 115` */
export function formatTcb(tcb: Tcb): string {
  const fmc = tcb.fmc === undefined ? '' : `fmc ${tcb.fmc} `;
  return `${fmc}bl ${tcb.bl} tee ${tcb.tee} snp ${tcb.snp} ucode ${tcb.ucode}`;
}
