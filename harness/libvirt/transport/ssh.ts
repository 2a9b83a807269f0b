import { errorText } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import type { Transport } from './transport.ts';
import type { SshTarget } from './uri.ts';

/** How much of what ssh prints is kept for the error text: its end. */
const STDERR_KEPT_BYTES = 4096;
/** Where `nc` looks when there is no helper; any host with /run has this link (as libvirt reasons). */
const SOCKET_FOLDER = '/var/run/libvirt';
/** libvirt gives no more than `no_verify` to the ssh command; the other two it knows for its ssh libraries only. */
const HOST_KEY_OPTIONS = {
  normal: [],
  auto: ['-o', 'StrictHostKeyChecking=accept-new'],
  ignore: ['-o', 'StrictHostKeyChecking=no'],
} as const;

type Ssh = SshTarget & { uri: string; name: string };

/** Arguments of ssh: as libvirt's own client gives them, ending in the command for the other side. */
export function sshArguments(target: Ssh, readOnly: boolean): string[] {
  return [
    ...(target.port === undefined ? [] : ['-p', String(target.port)]),
    ...(target.user === undefined ? [] : ['-l', target.user]),
    ...(target.keyfile === undefined ? [] : ['-i', target.keyfile]),
    '-T',
    ...['-e', 'none'],
    ...(target.batch ? ['-o', 'BatchMode=yes'] : []),
    ...HOST_KEY_OPTIONS[target.hostKeyCheck],
    ...(target.knownHosts === undefined ? [] : ['-o', `UserKnownHostsFile=${optionQuoted(target.knownHosts)}`]),
    '--',
    target.host,
    remoteCommand(target, readOnly),
  ];
}

/** Runs libvirt's helper where there is one, netcat otherwise; wrapped in `sh` because the login shell may be any. */
function remoteCommand(target: Ssh, readOnly: boolean): string {
  const helper = `exec virt-ssh-helper ${readOnly ? '-r ' : ''}${quote(target.name)}`;
  const nc = quote(target.netcat ?? 'nc');
  // A daemon there cannot be looked for from here, so `auto` means the one daemon, as in libvirt.
  const daemon = target.mode === 'direct' ? 'virtqemud' : 'libvirt';
  const socket = quote(target.socket ?? `${SOCKET_FOLDER}/${daemon}-sock${readOnly ? '-ro' : ''}`);
  // Some netcats stay after the end of their input unless they have -q0, others do not know it.
  const netcat = `if ${nc} -q 2>&1 </dev/null | grep -q "requires an argument"; then q=-q0; else q=; fi; exec ${nc} $q -U ${socket}`;
  const script = {
    native: helper,
    netcat,
    auto: `if command -v virt-ssh-helper >/dev/null 2>&1; then ${helper}; else ${netcat}; fi`,
  }[target.proxy];
  return `sh -c ${quote(script)}`;
}

/** ssh_config(5): the value is a list of files, of which one with spaces stands in double quotes; % begins a token. */
export function optionQuoted(path: string): string {
  return `"${path.replaceAll('%', '%%').replace(/["\\]/g, '\\$&')}"`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Starts ssh and speaks through it. What ssh prints ends up in the error text when the connection ends. */
export async function connectSsh(target: Ssh, options: { readOnly: boolean; signal: AbortSignal }): Promise<Transport> {
  // Loaded here: only ssh needs it, and it takes as long to load as all the rest of the client.
  const { execa } = await import('execa');
  const command = target.command ?? 'ssh';
  const child = execa(command, sshArguments(target, options.readOnly), {
    buffer: false,
    // A process group of its own: Ctrl-C must not cut the connection that cleaning up still needs. ssh ends with our pipes.
    detached: true,
    encoding: 'buffer',
    reject: false,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed = (printed + text).slice(-STDERR_KEPT_BYTES);
  });
  if (child.pid === undefined) {
    // The program could not be run at all.
    const { cause, message } = await child;
    const why = cause === undefined ? String(message) : errorText(cause);
    throw libvirtError('LIBVIRT_CONNECT', `cannot connect to '${target.uri}': cannot run '${command}': ${why}`, {
      cause,
      hint: 'Install the OpenSSH client, or name another program with ?command=.',
    });
  }
  return {
    peer: `libvirt through ${command} to ${target.host}`,
    input: child.stdout,
    output: child.stdin,
    whyClosed: async () => {
      const { exitCode, signal } = await child;
      const how =
        signal === undefined ? `${command} ended with exit code ${exitCode}` : `${command} was ended by ${signal}`;
      const words = printed.trim().replace(/\s*\n\s*/g, '; ');
      return words === '' ? how : `${how}: ${words}`;
    },
    destroy: () => {
      child.stdin.destroy();
      child.stdout.destroy();
      child.kill();
    },
  };
}
