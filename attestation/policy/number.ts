import { attestationError } from '../errors.ts';

/** What the spelling of a number in a policy may be: `0x33`, `0X0033`, `51`. */
const HEX = /^0[xX][0-9a-fA-F]{1,64}$/;
const DECIMAL = /^(0|[1-9][0-9]{0,63})$/;

/**
 * The value of a policy given as number or text: `0x` and hex digits, or decimal digits without leading zeros.
 *
 * Nothing else is taken: no sign, space, fraction, digit separator or octal. Throws `POLICY_INVALID`.
 */
export function parsePolicyNumber(input: number | bigint | string, bits: 32 | 64, what: string): bigint {
  const value = toBigInt(input);
  if (value === undefined) {
    const shown = typeof input === 'string' ? JSON.stringify(input.slice(0, 80)) : String(input);
    throw attestationError('POLICY_INVALID', `${what}: expected a number such as 0x0003 or 3, got ${shown}`, {
      details: { actual: String(input).slice(0, 80) },
    });
  }
  if (value < 0n || value >= 1n << BigInt(bits)) {
    throw attestationError('POLICY_INVALID', `${what}: expected 0 to 2^${bits}-1, got ${input}`, {
      details: { actual: String(input), bits },
    });
  }
  return value;
}

function toBigInt(input: number | bigint | string): bigint | undefined {
  if (typeof input === 'bigint') return input;
  if (typeof input === 'number') return Number.isSafeInteger(input) ? BigInt(input) : undefined;
  return HEX.test(input) || DECIMAL.test(input) ? BigInt(input.toLowerCase()) : undefined;
}
