import { hasChainFlags } from './chain-flags.ts';
import { verifyGivenChain } from './chain-input.ts';
import { type Arguments, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { InputReader } from './read.ts';
import { present, rootNote } from './verdict.ts';

/** From the platform's PDH up to AMD's root. */
export async function chainVerb(args: Arguments, io: AttestIo): Promise<number> {
  if (!hasChainFlags(args)) {
    throw usageError('no certificates were given', 'Give --chain, --pdh and --ask-ark; --help shows examples.');
  }
  const read = new InputReader();
  const chain = verifyGivenChain(args, io, read);
  const { ok, verdict, checks, root } = chain;
  return present(
    {
      verb: 'chain',
      ok,
      verdict,
      checks,
      warnings: [],
      inputs: read.notes,
      details: { root: root ?? null },
      notes: [rootNote(root)],
    },
    io,
    { json: args.has('json'), quiet: args.has('quiet') },
  );
}
