import { diagnose } from '../diagnosis/diagnose.ts';
import type { RefusalCategory } from '../diagnosis/entry.ts';
import type { RemoteError } from '../libvirt/index.ts';

/** A launch that the host refused, with what its words mean. `cause` is what the text proves, not a guess. */
export interface Refusal {
  /** The host's own words, unchanged. */
  readonly text: string;
  readonly cause: RefusalCategory | 'unknown';
  readonly words: string;
  /** What to do about it, where the text is known. */
  readonly fix?: string;
}

/** What libvirt's and QEMU's text says about a refused launch, from the diagnosis table. */
export function refusalOf(error: RemoteError): Refusal {
  const text = error.remote.message ?? error.message;
  const { code, domain } = error.remote;
  const [first] = diagnose([{ name: 'libvirt', text, libvirt: { code, domain } }]).findings;
  if (first === undefined || first.kind !== 'cause')
    return { text, cause: 'unknown', words: `libvirt refused without a text that we know: ${text}` };
  const caution = first.caution === undefined ? '' : ` ${first.caution}`;
  return { text, cause: first.refusal ?? 'unknown', words: `${first.cause}${caution}`, fix: first.fix };
}

/** The firmware's status in what QEMU says of the step that failed; undefined where it names none, or another step. */
export function firmwareStatusIn(text: string, step: 'LAUNCH_START' | 'failed to inject secret'): number | undefined {
  const status = new RegExp(`${step} ret=-?\\d+ fw_error=(\\d+)`).exec(text)?.[1];
  return status === undefined ? undefined : Number(status);
}
