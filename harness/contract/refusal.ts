import { isRemoteError } from '../libvirt/index.ts';

/** `[code, domain, text]` of the error with which a host answered. Rejects when it did anything else. */
export async function refusalOf(asking: Promise<unknown>): Promise<[number, number, string | null]> {
  let answer: unknown;
  try {
    answer = await asking;
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return [error.remote.code, error.remote.domain, error.remote.message];
  }
  throw new Error(
    `expected a refusal, got ${JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`,
  );
}
