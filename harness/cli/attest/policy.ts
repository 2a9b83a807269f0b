import type { PolicyFinding } from '../../../attestation/policy/sev.ts';
import { EXIT } from '../output.ts';
import { type Arguments, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';

interface Explained {
  readonly value: string;
  readonly names: string;
  readonly sentences: readonly string[];
  readonly findings: readonly PolicyFinding[];
}

/** A policy in words. Exit code 1 when no firmware launches a guest with it. */
export async function policyVerb(args: Arguments, io: AttestIo): Promise<number> {
  const [word] = args.words;
  const flag = args.text('policy');
  if (word !== undefined && flag !== undefined) throw usageError('give the policy once');
  const text = word ?? flag;
  if (text === undefined) throw usageError('no policy was given', 'For example: sev-harness attest policy 0x0033');
  const explained = args.has('snp') ? await explainSnp(text) : await explainSev(text);
  const { value, names, sentences, findings } = explained;
  if (args.has('json')) {
    io.out(`${JSON.stringify({ verb: 'policy', value, names, sentences, findings })}\n`);
  } else {
    io.out(`${names}\n`);
    for (const sentence of sentences) io.out(`  ${sentence}\n`);
    for (const { level, text: finding } of findings) io.out(`${level}: ${finding}\n`);
  }
  return findings.some(({ level }) => level === 'refused') ? EXIT.product : EXIT.ok;
}

async function explainSev(text: string): Promise<Explained> {
  const { explainSevPolicy, formatSevPolicy, inspectSevPolicy, parseSevPolicy } = await import(
    '../../../attestation/policy/sev.ts'
  );
  const policy = parseSevPolicy(text);
  return {
    value: `0x${policy.value.toString(16).padStart(8, '0')}`,
    names: formatSevPolicy(policy),
    sentences: explainSevPolicy(policy),
    findings: inspectSevPolicy(policy),
  };
}

async function explainSnp(text: string): Promise<Explained> {
  const { formatSnpPolicy, inspectSnpPolicy, parseSnpPolicy } = await import('../../../attestation/policy/snp.ts');
  const policy = parseSnpPolicy(text);
  return {
    value: `0x${policy.value.toString(16)}`,
    names: formatSnpPolicy(policy),
    sentences: [],
    findings: inspectSnpPolicy(policy),
  };
}
