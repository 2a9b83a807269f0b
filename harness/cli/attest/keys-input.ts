import type { Tek, Tik } from '../../../attestation/brands.ts';
import { parseTik, TIK_BYTES, tikProblem } from '../../../attestation/measurement/measurement.ts';
import { Secret } from '../../../core/secret.ts';
import { type Arguments, type FlagGroup, usageError } from './flags.ts';
import { type InputReader, naming } from './read.ts';

export const KEY_FLAGS: FlagGroup = {
  title: "The owner's keys",
  flags: [
    { name: 'tik', value: 'FILE', help: 'transport integrity key, 16 bytes (NAME_tik.bin)' },
    { name: 'tek', value: 'FILE', help: 'transport encryption key, 16 bytes (NAME_tek.bin)' },
    { name: 'tk', value: 'FILE', help: 'both in one file of 32 bytes, TEK first' },
  ],
};

export interface OwnersKeys {
  readonly tik: Secret<Tik> | undefined;
  readonly tek: Secret<Tek> | undefined;
}

/**
 * The keys of the flags, of the right length.
 *
 * An all-zero TIK comes through: it is a finding about the launch, which a row of the verdict reports.
 * Throws `TIK_INVALID`, `TEK_INVALID`, `CLI_USAGE`.
 */
export async function readKeys(args: Arguments, read: InputReader): Promise<OwnersKeys> {
  const tk = args.text('tk');
  if (tk !== undefined) {
    if (args.has('tik') || args.has('tek')) throw usageError('--tk holds both keys: leave out --tik and --tek');
    const { parseTransportKeys } = await import('../../../attestation/session/transport-keys.ts');
    return naming('--tk', tk, () => parseTransportKeys(read.key('--tk', tk, [2 * TIK_BYTES])));
  }
  const [tik, tek] = [args.text('tik'), args.text('tek')];
  return {
    tik: tik === undefined ? undefined : naming('--tik', tik, () => keyOf(read.key('--tik', tik, [TIK_BYTES]))),
    tek: tek === undefined ? undefined : await readTek(tek, read),
  };
}

async function readTek(path: string, read: InputReader): Promise<Secret<Tek>> {
  const { parseTek } = await import('../../../attestation/session/transport-keys.ts');
  return naming('--tek', path, () => parseTek(read.key('--tek', path, [TIK_BYTES])));
}

function keyOf(bytes: Uint8Array): Secret<Tik> {
  const isAllZero = bytes.length === TIK_BYTES && tikProblem(bytes) !== undefined;
  return isAllZero ? new Secret(bytes as Tik) : parseTik(bytes);
}
