import { open } from 'node:fs/promises';
import { execa } from 'execa';
import { errorText } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';
import { type LibvirtConnection, parseLibvirtUri } from '../libvirt/index.ts';
import { sshArguments } from '../libvirt/transport/ssh.ts';

/** What reading a file on the host came to. `unreadable` means unknown, never "no". */
export type FileReading =
  | { readonly outcome: 'read'; readonly bytes: Uint8Array }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'unreadable'; readonly because: string };

/** The host's own eyes and hands: this machine, a machine behind ssh, or the emulated host. */
export interface HostShell {
  readonly where: 'local' | 'ssh' | 'emulated' | 'none';
  /** At most `length` bytes from `offset`. */
  readFile(path: string, range?: { readonly offset: number; readonly length: number }): Promise<FileReading>;
  /** Sends SIGKILL. Throws `HOST_SHELL` when the process cannot be killed; a process that is gone is no error. */
  kill(pid: number): Promise<void>;
}

const WHOLE_FILE_MAX = 4 * 1024 * 1024;
const ENOENT = 2;
const ESRCH = 3;

const localShell: HostShell = {
  where: 'local',
  async readFile(path, range) {
    try {
      await using file = await open(path, 'r');
      const buffer = new Uint8Array(range?.length ?? WHOLE_FILE_MAX);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, range?.offset ?? 0);
      return { outcome: 'read', bytes: buffer.slice(0, bytesRead) };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      return code === 'ENOENT' || code === 'ENOTDIR'
        ? { outcome: 'absent' }
        : { outcome: 'unreadable', because: errorText(error) };
    }
  },
  async kill(pid) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH')
        throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${errorText(error)}`, { cause: error });
    }
  },
};

/** The shell of the machine that a libvirt URI leads to: a socket stays here, ssh leads there, TCP and TLS give none. */
export function shellOf(uri: string): HostShell {
  const target = parseLibvirtUri(uri);
  switch (target.transport) {
    case 'unix':
      return localShell;
    case 'ssh':
      // The last argument is the command that the libvirt transport runs there.
      return sshShell(target.command ?? 'ssh', sshArguments(target, false).slice(0, -1));
    case 'tcp':
    case 'tls':
      return noShell(target.transport);
  }
}

function noShell(transport: string): HostShell {
  const because = `libvirt over ${transport} gives no way to the host's files and processes`;
  return {
    where: 'none',
    readFile: async () => ({ outcome: 'unreadable', because }),
    kill: async (pid) => {
      throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${because}`, { hint: 'Use a qemu+ssh:// URI.' });
    },
  };
}

/** Runs `dd` and `kill` on the host through ssh, with the arguments that the libvirt transport uses. */
function sshShell(command: string, baseArguments: readonly string[]): HostShell {
  const run = (script: string) =>
    execa(command, [...baseArguments, script], { encoding: 'buffer', reject: false, timeout: 30_000, stdin: 'ignore' });
  return {
    where: 'ssh',
    async readFile(path, range) {
      const quoted = `'${path.replaceAll("'", "'\\''")}'`;
      const script =
        range === undefined
          ? `cat -- ${quoted}`
          : `dd if=${quoted} iflag=skip_bytes,count_bytes skip=${range.offset} count=${range.length} bs=${range.length} status=none`;
      const result = await run(`test -e ${quoted} || exit 44; ${script}`);
      if (result.exitCode === 44) return { outcome: 'absent' };
      if (result.exitCode !== 0)
        return {
          outcome: 'unreadable',
          because: Buffer.from(result.stderr).toString().trim() || result.shortMessage || 'ssh failed',
        };
      return { outcome: 'read', bytes: result.stdout };
    },
    async kill(pid) {
      const result = await run(`kill -0 ${pid} 2>/dev/null || exit 45; kill -9 ${pid}`);
      if (result.exitCode !== 0 && result.exitCode !== 45)
        throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${Buffer.from(result.stderr).toString().trim()}`);
    },
  };
}

/** The emulated host's file view and process table, over its own program on the libvirt socket. */
export function emulatedShell(connection: LibvirtConnection): HostShell {
  return {
    where: 'emulated',
    async readFile(path, range) {
      const { errno, content } = await connection.callEmulator('readFile', {
        path,
        offset: BigInt(range?.offset ?? 0),
        length: range?.length ?? WHOLE_FILE_MAX,
      });
      if (errno === 0) return { outcome: 'read', bytes: content };
      return errno === ENOENT ? { outcome: 'absent' } : { outcome: 'unreadable', because: `errno ${errno}` };
    },
    async kill(pid) {
      const { errno } = await connection.callEmulator('kill', { pid, signal: 9 });
      if (errno !== 0 && errno !== ESRCH)
        throw harnessError('HOST_SHELL', `cannot kill process ${pid} on the emulated host: errno ${errno}`);
    },
  };
}
