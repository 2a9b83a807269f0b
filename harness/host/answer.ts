import { isRemoteError } from '../libvirt/index.ts';

/** What a host answered to something that it may refuse. */
export type HostAnswer = { readonly accepted: true } | { readonly code: number; readonly text: string };

/** Waits for a call; a refusal by the host is a value, anything else throws. */
export async function answerOf(asking: Promise<unknown>): Promise<HostAnswer> {
  try {
    await asking;
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return { code: error.remote.code, text: error.remote.message ?? '' };
  }
  return { accepted: true };
}
