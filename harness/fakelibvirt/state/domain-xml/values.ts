import { refusal } from '../../refusal.ts';
import { attribute, text, type XmlElement } from '../xml/tree.ts';

const UINT_MAX = 0xffffffff;
/** VIR_DOMAIN_MEMORY_PARAM_UNLIMITED: what a limit is that is none, and the most that memory may have. */
export const UNLIMITED_KIB = 9007199254740991n;

/** `virStrToLong_uip`: white space may come before, nothing after; undefined when it is no unsigned int. */
export function parseUint(source: string, base: 10 | 16): number | undefined {
  const digits = base === 16 ? /^\s*\+?(?:0[xX])?([0-9a-fA-F]+)$/ : /^\s*\+?([0-9]+)$/;
  const match = digits.exec(source);
  if (!match?.[1]) return undefined;
  const value = Number.parseInt(match[1], base);
  return value <= UINT_MAX ? value : undefined;
}

/** Bytes in one unit, as `virScaleInteger` reads them: SI for `kB`, powers of two for `KiB` and `k`. */
const UNIT_BYTES: Readonly<Record<string, bigint>> = {
  b: 1n,
  byte: 1n,
  bytes: 1n,
  k: 1024n,
  kib: 1024n,
  kb: 1000n,
  m: 1024n ** 2n,
  mib: 1024n ** 2n,
  mb: 1000n ** 2n,
  g: 1024n ** 3n,
  gib: 1024n ** 3n,
  gb: 1000n ** 3n,
  t: 1024n ** 4n,
  tib: 1024n ** 4n,
  tb: 1000n ** 4n,
};

/** A memory element in KiB, rounded up; undefined when there is no such element. */
export function parseMemoryKiB(element: XmlElement | undefined, xpath: string): number | undefined {
  if (element === undefined) return undefined;
  const source = text(element) ?? '';
  const digits = /^\s*\+?([0-9]{1,19})\s*$/.exec(source)?.[1];
  if (digits === undefined)
    throw refusal('XML_ERROR', 'XML', `Invalid value '${source}' for element or attribute '${xpath}'`);
  const unit = attribute(element, 'unit') ?? 'KiB';
  const unitBytes = Object.hasOwn(UNIT_BYTES, unit.toLowerCase()) ? UNIT_BYTES[unit.toLowerCase()] : undefined;
  if (unitBytes === undefined) throw refusal('INVALID_ARG', 'NONE', `unknown suffix '${unit}'`);
  const kiB = (BigInt(digits) * unitBytes + 1023n) / 1024n;
  if (kiB > UNLIMITED_KIB) throw refusal('OVERFLOW', 'NONE', `value too large: ${digits}${unit}`);
  return Number(kiB);
}

/** A limit of `<memtune>` in KiB; undefined when there is none, in words or in numbers. */
export function parseLimitKiB(element: XmlElement | undefined): number | undefined {
  const kiB = parseMemoryKiB(element, `./memtune/${element?.name}[1]`);
  return kiB === undefined || BigInt(kiB) >= UNLIMITED_KIB ? undefined : kiB;
}

/** `virXMLPropEnum`: refuses a value that is not listed; undefined when the attribute is absent. */
export function enumAttribute<const T extends string>(
  of: XmlElement,
  name: string,
  values: readonly T[],
): T | undefined {
  const value = attribute(of, name);
  if (value === undefined) return undefined;
  const known = values.find((candidate) => candidate === value);
  if (known === undefined) {
    throw refusal('XML_ERROR', 'XML', `Invalid value for attribute '${name}' in element '${of.name}': '${value}'.`);
  }
  return known;
}

export function requiredEnumAttribute<const T extends string>(of: XmlElement, name: string, values: readonly T[]): T {
  const value = enumAttribute(of, name, values);
  if (value === undefined) {
    throw refusal('XML_ERROR', 'XML', `Missing required attribute '${name}' in element '${of.name}'`);
  }
  return value;
}
