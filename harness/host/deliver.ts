import { stat } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { harnessError } from '../errors.ts';
import { parseLibvirtUri } from '../libvirt/index.ts';
import type { Host } from './host.ts';
import { forAnyLoginShell, shellQuoted } from './shell-commands.ts';

/** A file of this machine, which on the host may also be made of zeros alone. */
export interface Delivery {
  readonly path: string;
  /** Its size when it holds nothing else: not worth sending. */
  readonly zeroBytes?: number;
}

/** Where a host keeps guest images, as its shell reads it; SEV_HARNESS_IMAGES may be set behind ssh too. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: the shell of the host fills it in
export const IMAGES_THERE = '"${SEV_HARNESS_IMAGES:-/var/tmp/sev-harness-$(id -u)}"';
const NOT_OURS = 46;

/**
 * Paths under which QEMU of the host finds these files: where they are when the host is this machine, and behind ssh in a
 * folder of that name, into which what is not there yet is sent. Each appears whole or not at all.
 *
 * Throws `HOST_SHELL` where there is no way to the host's files, and where ssh or the host refuses.
 */
export async function deliverFiles(
  host: Pick<Host, 'name' | 'shell'>,
  folder: string,
  files: readonly Delivery[],
  signal?: AbortSignal,
): Promise<string[]> {
  if (host.shell.where === 'local') return files.map((file) => file.path);
  const { login } = host.shell;
  if (login === undefined) {
    const { transport } = parseLibvirtUri(host.name);
    throw harnessError('HOST_SHELL', `files cannot be brought to ${host.name}: libvirt over ${transport} takes none`, {
      hint: 'Use a qemu+ssh:// URI.',
    });
  }
  const run = async (script: string, file?: string): Promise<string> => {
    const [program, ...args] = await login.command();
    const options = { reject: false, env: { LC_ALL: 'C' }, ...(signal === undefined ? {} : { cancelSignal: signal }) };
    const result = await execa(program, [...args, forAnyLoginShell(script)], {
      ...options,
      ...(file === undefined ? { stdin: 'ignore' } : { inputFile: file }),
    });
    signal?.throwIfAborted();
    if (result.exitCode === 0) return result.stdout;
    const words = result.stderr.trim().replace(/\s*\n\s*/g, '; ');
    const why = result.exitCode === NOT_OURS ? 'the folder there belongs to somebody else' : words;
    throw harnessError('HOST_SHELL', `files cannot be brought to ${host.name}: ${why || result.shortMessage}`);
  };
  const make = `umask 022; d=${IMAGES_THERE}; mkdir -p -- "$d" && test -O "$d" && ! test -L "$d" || exit ${NOT_OURS}; d="$d"/${shellQuoted(folder)}; mkdir -p -- "$d" && cd -- "$d"`;
  const [place = '', ...there] = (await run(`${make} && pwd && ls`)).split('\n');
  for (const file of files) {
    const plainName = path.basename(file.path);
    if (there.includes(plainName)) continue;
    const name = shellQuoted(plainName);
    const { zeroBytes } = file;
    const write = zeroBytes === undefined ? 'cat >"$$.part"' : `truncate -s ${zeroBytes} "$$.part"`;
    const bytes = zeroBytes ?? (await stat(file.path)).size;
    // When the line is lost, what is sent just ends: for `cat` that is the end of the file.
    const keep = `test "$(stat -c %s -- "$$.part")" = ${bytes} && mv -f -- "$$.part" ${name}`;
    const giveUp = `{ rm -f -- "$$.part"; printf '%s did not arrive whole\\n' ${name} >&2; exit 1; }`;
    await run(`${make} && { ${write} && ${keep} || ${giveUp}; }`, zeroBytes === undefined ? file.path : undefined);
  }
  return files.map((file) => path.posix.join(place, path.basename(file.path)));
}
