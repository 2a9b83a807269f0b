import path from 'node:path';
import { explainLaunch } from '../../../attestation/explain/launch.ts';
import { EXIT } from '../output.ts';
import { withEvidence } from './evidence.ts';
import { type Arguments, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';

const MAX_CANDIDATES = 100_000_000;

/** Which input would make this measurement match? Exit code 0 only when it matches as given. */
export async function explainVerb(args: Arguments, io: AttestIo): Promise<number> {
  const maxCandidates = args.integer('max-candidates', 1, MAX_CANDIDATES);
  return withEvidence(args, io, async ({ launch, keys, read, warnings }) => {
    if (launch === undefined) throw usageError('nothing to explain: give --measurement and the launch it is of');
    if (keys.tik === undefined) throw usageError('--tik is required: only its holder can tell which launch fits');
    const { measurement, context, guest } = launch;
    const alternates = args
      .all('alternate')
      .map((file) => ({ name: path.basename(file), bytes: read.image('--alternate', file) }));
    const explanation = await explainLaunch(
      {
        measurement,
        context,
        tik: keys.tik,
        ...(keys.tek === undefined ? {} : { tek: keys.tek }),
        guest: { ...guest, alternates },
      },
      {
        ...(maxCandidates === undefined ? {} : { maxCandidates }),
        ...(io.showsProgress
          ? { onProgress: ({ tried, total, phase }) => io.err(`\r${phase}: ${tried} of at most ${total} `) }
          : {}),
      },
    );
    if (io.showsProgress) io.err('\r\u001b[K');
    for (const warning of warnings) io.err(`warning: ${warning}\n`);
    if (args.has('json')) {
      io.out(
        `${JSON.stringify({ verb: 'explain', ok: explanation.outcome === 'matches', ...explanation, warnings })}\n`,
      );
    } else {
      io.out(`${sentence(explanation.summary)}\n`);
      for (const change of explanation.outcome === 'explained' ? explanation.changes : []) {
        io.out(`  ${change.words}\n`);
        io.out(`    given ${shown(change.given)}, fits ${shown(change.fits)}\n`);
        io.out(`    ${change.advice}\n`);
      }
      io.out(`${explanation.tried} candidates tried.\n`);
    }
    return explanation.outcome === 'matches' ? EXIT.ok : EXIT.product;
  });
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
