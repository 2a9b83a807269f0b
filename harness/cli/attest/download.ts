import { errorText } from '../../../core/errors.ts';
import { harnessError } from '../../errors.ts';

/** AMD's files have a few kilobytes. */
const MAX_BYTES = 1 << 16;
const TIMEOUT_MS = 30_000;

/** Fetches one file over HTTP. Throws `ATTEST_DOWNLOAD`. */
export async function downloadFile(url: string, timeoutMs = TIMEOUT_MS): Promise<Uint8Array> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const parts: Uint8Array[] = [];
    let total = 0;
    for await (const part of response.body ?? []) {
      total += part.length;
      if (total > MAX_BYTES) throw new Error(`the answer is longer than ${MAX_BYTES} bytes`);
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  } catch (error) {
    throw harnessError('ATTEST_DOWNLOAD', `cannot download ${url}: ${reason(error)}`, {
      cause: error,
      hint: 'Download it elsewhere and pass it as --ask-ark or --cek: nothing else here needs the network.',
    });
  }
}

/** `fetch failed` says nothing; what failed is its cause. */
function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  if (cause === undefined) return errorText(error);
  return errorText(cause) || ('code' in cause ? String(cause.code) : errorText(error));
}
