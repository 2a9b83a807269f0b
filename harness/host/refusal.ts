import type { RemoteError } from '../libvirt/index.ts';

/** A launch that the host refused, with what its words mean. `cause` is what the text proves, not a guess. */
export interface Refusal {
  /** The host's own words, unchanged. */
  readonly text: string;
  readonly cause: 'no-free-slot' | 'no-such-pool' | 'sev-unsupported' | 'launch-refused-by-firmware' | 'unknown';
  readonly words: string;
}

/** The launch functions of QEMU's target/i386/sev.c: renamed in 6.0 and 9.1. */
const INIT = /sev_(?:guest|kvm|common_kvm)_init: failed to initialize ret=(-?\d+) fw_error=(-?\d+)/;
const LAUNCH_START = /sev_launch_start: LAUNCH_START ret=-?\d+ fw_error=(\d+) '([^']*)'/;

/** What libvirt's and QEMU's text says about a refused launch (errno values of Linux, `fw_error` of the SEV API). */
export function refusalOf(error: RemoteError): Refusal {
  const text = error.remote.message ?? error.message;
  return { text, ...diagnose(text) };
}

function diagnose(text: string): Omit<Refusal, 'text'> {
  const init = INIT.exec(text);
  if (init !== null) {
    const [, ret, firmware] = init;
    if (ret === '-16' && firmware === '0')
      return {
        cause: 'no-free-slot',
        words: 'The kernel found no free encryption key (EBUSY), and the firmware was not asked: every slot is in use.',
      };
    if (ret === '-25')
      return { cause: 'no-such-pool', words: 'The host reserves no encryption keys for guests of this kind (ENOTTY).' };
    return {
      cause: 'unknown',
      words: `The kernel could not initialise SEV for the guest: errno ${ret}, firmware error ${firmware}.`,
    };
  }
  const start = LAUNCH_START.exec(text);
  if (start !== null)
    return {
      cause: 'launch-refused-by-firmware',
      words: `The firmware refused LAUNCH_START with code ${start[1]} ('${start[2]}'); QEMU's own ret value says nothing here.`,
    };
  if (/launch security is not supported with this QEMU binary/.test(text))
    return { cause: 'sev-unsupported', words: 'libvirt found no SEV support when it probed QEMU on this host.' };
  return { cause: 'unknown', words: `libvirt refused without a text that we know: ${text}` };
}
