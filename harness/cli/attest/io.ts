import type { RandomSource } from '../../../attestation/certs/p384.ts';
import type { LibvirtConnection } from '../../libvirt/index.ts';

/** Fetches one address, or throws `ATTEST_DOWNLOAD`. */
export type Download = (url: string) => Promise<Uint8Array>;

/** Everything outside the process that a verb touches, besides the files that its flags name. */
export interface AttestIo {
  /** Writes to standard output. */
  readonly out: (text: string) => void;
  /** Writes to standard error. */
  readonly err: (text: string) => void;
  readonly isColoured: boolean;
  /** Whether standard error is a terminal, where a line may be written over. */
  readonly showsProgress: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fresh randomness for keys, nonces and IVs. */
  readonly random: RandomSource;
  readonly download: Download;
  readonly connect: (uri: string) => Promise<LibvirtConnection>;
  /** Name of this machine, to notice that it is the host itself. */
  readonly hostname: () => Promise<string>;
}
