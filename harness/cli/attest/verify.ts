import { attestationResult, type Check } from '../../../attestation/result.ts';
import { verifyLaunch } from '../../../attestation/verify/launch.ts';
import { type Evidence, withEvidence } from './evidence.ts';
import { type Arguments, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { present, type Report, rootNote, verdictOf } from './verdict.ts';

/** Chain, session and measurement in one verdict, each where it was given. */
export async function verifyVerb(args: Arguments, io: AttestIo): Promise<number> {
  return withEvidence(args, io, async (evidence) => {
    const report = await judge('verify', evidence);
    return present(report, io, { json: args.has('json'), quiet: args.has('quiet') });
  });
}

/** The verdict on all evidence. Throws `CLI_USAGE` when there is none. */
export async function judge(verb: string, evidence: Evidence): Promise<Report> {
  const { chain, domain, session, launch, policy, keys } = evidence;
  const parts: { readonly ok: boolean; readonly checks: readonly Check[] }[] = [];
  const notes: string[] = [];
  if (chain !== undefined) {
    parts.push(chain);
    notes.push(rootNote(chain.root));
  }
  if (domain !== undefined) parts.push(attestationResult(domain.checks));
  if (session !== undefined) {
    if (policy === undefined) throw usageError('--session is verified against a policy: give --policy');
    const { verifySession } = await import('../../../attestation/verify/session.ts');
    parts.push(verifySession({ ...session, tik: keys.tik, policy }));
  }
  if (launch !== undefined) {
    const { measurement, context, digest } = launch;
    const verified = verifyLaunch({ measurement, context, digest, tik: keys.tik });
    parts.push(verified);
    const { apiMajor, apiMinor, buildId } = context;
    notes.push(`SEV firmware: ${apiMajor}.${apiMinor} build ${buildId}${verified.ok ? '' : ', as the host claims'}`);
  }
  if (parts.length === 0) {
    throw usageError(
      'nothing to verify was given',
      'Give a measurement with its launch, a session, a chain, or --domain; --help shows examples.',
    );
  }
  const checks = parts.flatMap((part) => part.checks);
  const ok = parts.every((part) => part.ok) && attestationResult(checks).ok;
  const warnings = [...evidence.warnings];
  if (chain === undefined) {
    warnings.push('no certificate chain was given: nothing here says that the other side is a genuine AMD processor');
  }
  return {
    verb,
    ok,
    verdict: verdictOf(ok, checks),
    checks,
    warnings,
    inputs: evidence.read.notes,
    details: { ...(chain === undefined ? {} : { root: chain.root ?? null }) },
    notes,
  };
}
