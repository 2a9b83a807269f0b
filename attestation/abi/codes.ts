/** Whose key a certificate holds, or who signed it. SEV API 55766 rev 3.24, appendix C, table of usages. */
export type Usage = 'ARK' | 'ASK' | 'OCA' | 'PEK' | 'PDH' | 'CEK';

export const USAGE_CODES: Readonly<Record<Usage, number>> = {
  ARK: 0x0000,
  ASK: 0x0013,
  OCA: 0x1001,
  PEK: 0x1002,
  PDH: 0x1003,
  CEK: 0x1004,
};

/** Stands in the usage field of an empty signature slot. */
export const USAGE_INVALID = 0x1000;

/** SEV API 55766 rev 3.24, appendix C, table of algorithms. */
export type Algorithm =
  | 'RSA-PSS-SHA256'
  | 'ECDSA-SHA256'
  | 'ECDH-SHA256'
  | 'RSA-PSS-SHA384'
  | 'ECDSA-SHA384'
  | 'ECDH-SHA384';

export const ALGORITHM_CODES: Readonly<Record<Algorithm, number>> = {
  'RSA-PSS-SHA256': 0x001,
  'ECDSA-SHA256': 0x002,
  'ECDH-SHA256': 0x003,
  'RSA-PSS-SHA384': 0x101,
  'ECDSA-SHA384': 0x102,
  'ECDH-SHA384': 0x103,
};

/** Stands in the algorithm field of an empty signature slot. */
export const ALGORITHM_INVALID = 0x000;

/** The only curve that SEV keys use; code 1, P-256, is named by the specification and used by no firmware. */
export const CURVE_P384 = 2;

const usageNames = new Map(Object.entries(USAGE_CODES).map(([name, code]) => [code, name as Usage]));
const algorithmNames = new Map(Object.entries(ALGORITHM_CODES).map(([name, code]) => [code, name as Algorithm]));

export function usageOf(code: number): Usage | undefined {
  return usageNames.get(code);
}

export function algorithmOf(code: number): Algorithm | undefined {
  return algorithmNames.get(code);
}
