import { seededRandom } from '../../../../attestation/testing/seeded-random.ts';
import { isSevHarnessError, type SevHarnessError } from '../../../../core/errors.ts';
import { exitCodeOf } from '../../output.ts';
import { attestCommand } from '../command.ts';
import type { AttestIo } from '../io.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What was thrown, which the command line prints as one line and a hint. */
  readonly error: SevHarnessError | undefined;
}

/** A world without network and libvirt, and with repeatable randomness. */
export function closedIo(changes: Partial<AttestIo> = {}): AttestIo {
  const closed = () => {
    throw new Error('this test has no network');
  };
  return {
    out: () => {},
    err: () => {},
    isColoured: false,
    showsProgress: false,
    // Never the cache of whoever runs the tests.
    env: { XDG_CACHE_HOME: '/nonexistent' },
    random: seededRandom('attest'),
    download: closed,
    connect: closed,
    hostname: async () => 'owners-laptop',
    ...changes,
  };
}

/** Runs `attest` in this process. An error that is not ours is a defect, and comes through. */
export async function runAttest(words: readonly string[], changes: Partial<AttestIo> = {}): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []];
  const io = closedIo({ out: (text) => out.push(text), err: (text) => err.push(text), ...changes });
  try {
    const code = await attestCommand(words, io);
    return { code, out: out.join(''), err: err.join(''), error: undefined };
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    return { code: exitCodeOf(error), out: out.join(''), err: err.join(''), error };
  }
}
