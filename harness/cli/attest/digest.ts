import { parseSevPolicy } from '../../../attestation/policy/sev.ts';
import { toBase64, toHex } from '../../../core/bytes.ts';
import type { Arguments } from './flags.ts';
import { digestOf, readGuest } from './guest-input.ts';
import type { AttestIo } from './io.ts';
import { InputReader } from './read.ts';

/** The launch digest on standard output, and what it covers on standard error. */
export function digestVerb(args: Arguments, io: AttestIo): number {
  const read = new InputReader();
  const policy = args.text('policy');
  const warnings: string[] = [];
  const warn = (text: string) => warnings.push(text);
  const guest = readGuest(args, read, policy === undefined ? undefined : parseSevPolicy(policy).value, warn);
  const digest = digestOf(guest, args.required('firmware'));
  const vcpus = guest.vcpus?.count;
  for (const warning of warnings) io.err(`warning: ${warning}\n`);
  if (args.has('json')) {
    const mode = vcpus === undefined ? 'sev' : 'sev-es';
    const covers = { mode, vcpus: vcpus ?? null, kernelHashes: guest.kernel !== undefined };
    const digests = { digestHex: toHex(digest), digestBase64: toBase64(digest) };
    io.out(`${JSON.stringify({ verb: 'digest', ...digests, ...covers, warnings, inputs: read.notes })}\n`);
    return 0;
  }
  const parts = [
    'guest firmware',
    ...(guest.kernel === undefined ? [] : ['kernel hashes']),
    ...(vcpus === undefined ? [] : [`${vcpus} vCPU${vcpus === 1 ? '' : 's'}`]),
  ];
  io.err(`Launch digest of a ${vcpus === undefined ? 'SEV' : 'SEV-ES'} guest over ${parts.join(', ')}, SHA-256.\n`);
  io.out(`${toHex(digest)}\n`);
  return 0;
}
