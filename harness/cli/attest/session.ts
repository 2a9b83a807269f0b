import path from 'node:path';
import { formatSevPolicy, parseSevPolicy } from '../../../attestation/policy/sev.ts';
import { createLaunchSession } from '../../../attestation/session/launch-session.ts';
import { toBase64 } from '../../../core/bytes.ts';
import { EXIT } from '../output.ts';
import { readChain, readChainOptions } from './chain-input.ts';
import { type Arguments, clip, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { InputReader } from './read.ts';
import { renderTree } from './tree.ts';
import { makeFolder, writeFiles } from './write.ts';

/** Makes the owner's launch session and writes its four files. */
export async function sessionVerb(args: Arguments, io: AttestIo): Promise<number> {
  const name = args.required('name');
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(name)) {
    throw usageError(
      `--name: '${clip(name)}' is no name for files`,
      'Use letters, digits, dot, dash and underscore; the folder is given by --out.',
    );
  }
  const folder = args.required('out');
  const policy = parseSevPolicy(args.required('policy'));
  args.required('pdh');
  const read = new InputReader();
  const session = createLaunchSession({
    platform: readChain(args, io, read),
    verification: readChainOptions(args, read),
    policy: policy.value,
    random: io.random,
    insecure: args.has('insecure'),
  });
  const { chain } = session;
  const files = {
    tik: path.join(folder, `${name}_tik.bin`),
    tek: path.join(folder, `${name}_tek.bin`),
    godh: path.join(folder, `${name}_godh.b64`),
    session: path.join(folder, `${name}_session.b64`),
  };
  makeFolder(folder);
  writeFiles(
    [
      { path: files.tik, content: session.tik.reveal(), mode: 0o600 },
      { path: files.tek, content: session.tek.reveal(), mode: 0o600 },
      { path: files.godh, content: toBase64(session.godh), mode: 0o644 },
      { path: files.session, content: toBase64(session.session), mode: 0o644 },
    ],
    { replace: false },
  );
  const warnings = chain.ok
    ? []
    : [`the platform is unverified (${chain.verdict}): whoever made this PDH can read every secret of the guest`];
  for (const warning of warnings) io.err(`warning: ${warning}\n`);
  if (args.has('json')) {
    const { verdict, checks, root } = chain;
    const shown = { ok: true, policy: formatSevPolicy(policy), files, verdict, checks, root: root ?? null };
    io.out(`${JSON.stringify({ verb: 'session', ...shown, warnings, inputs: read.notes })}\n`);
    return EXIT.ok;
  }
  io.out(renderTree(chain.checks, io.isColoured));
  io.out(
    [
      `Session for policy ${formatSevPolicy(policy)}:`,
      `  ${files.godh}     into <dhCert> of the domain`,
      `  ${files.session}  into <session> of the domain`,
      `  ${files.tik}      stays with you: verifies the measurement`,
      `  ${files.tek}      stays with you: encrypts the secrets`,
      'Make a new session for each start of a guest.',
      '',
    ].join('\n'),
  );
  return EXIT.ok;
}
