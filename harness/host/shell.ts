import { type FileHandle, open } from 'node:fs/promises';
import { atMost } from '../../core/at-most.ts';
import { concatBytes } from '../../core/bytes.ts';
import { errorText } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';
import { type LibvirtConnection, parseLibvirtUri } from '../libvirt/index.ts';
import { sshArguments } from '../libvirt/transport/ssh.ts';
import {
  folderNames,
  forAnyLoginShell,
  looksByCommand,
  manyFilesScript,
  parseManyFiles,
  parseStat,
  runHere,
  saysMissing,
  shellQuoted,
} from './shell-commands.ts';
import { type SshLogin, sharedLogin } from './ssh-login.ts';

/** What reading a file on the host came to. `unreadable` means unknown, never "no". */
export type FileReading =
  | { readonly outcome: 'read'; readonly bytes: Uint8Array }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'unreadable'; readonly because: string };

/** What `stat` says about a file, symbolic links followed. */
export interface FileStat {
  /** Permission bits, e.g. 0o660. */
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  /** SELinux context; absent where the kernel keeps none. */
  readonly label?: string;
}

export type StatReading =
  | { readonly outcome: 'read'; readonly stat: FileStat }
  | Exclude<FileReading, { outcome: 'read' }>;

export type FolderReading =
  | { readonly outcome: 'read'; readonly names: readonly string[] }
  | Exclude<FileReading, { outcome: 'read' }>;

/** The host's own eyes and hands: this machine, a machine behind ssh, or the emulated host. */
export interface HostShell {
  readonly where: 'local' | 'ssh' | 'emulated' | 'none';
  /** At most `length` bytes from `offset`. */
  readFile(path: string, range?: { readonly offset: number; readonly length: number }): Promise<FileReading>;
  /** Several whole files, in the order of `paths`: over ssh one command instead of one for each file. */
  readFiles(paths: readonly string[]): Promise<readonly FileReading[]>;
  stat(path: string): Promise<StatReading>;
  /** Names in a folder, without `.` and `..`. */
  listFolder(path: string): Promise<FolderReading>;
  /** Standard output of a command; `absent` when the host has no such program. */
  run(command: readonly string[]): Promise<FileReading>;
  /**
   * Sends SIGKILL; a process that is gone is no error. Returns the reason when the host does not let our user do it, and
   * throws `HOST_SHELL` when it fails otherwise.
   */
  kill(pid: number): Promise<{ readonly outOfReach: string } | undefined>;
  /** The ssh that leads there; only where it does. */
  readonly login?: SshLogin;
  /** Gives back what keeps it open. It can still be used. */
  close(): Promise<void>;
}

const WHOLE_FILE_MAX = 4 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
/**
 * sshd turns away some of more than ten callers whom it does not know yet (MaxStartups of sshd_config), and lets ten share
 * a login (MaxSessions).
 */
const SSH_AT_A_TIME = 4;
const ENOENT = 2;
const ESRCH = 3;

/** Files of /proc give a page at a time, so one read is not the whole. */
async function readToEnd(
  file: FileHandle,
  { offset, length }: { offset: number; length: number } = { offset: 0, length: WHOLE_FILE_MAX },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let done = 0;
  while (done < length) {
    const chunk = new Uint8Array(Math.min(length - done, CHUNK_BYTES));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, offset + done);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    done += bytesRead;
  }
  return concatBytes(...chunks);
}

/** This machine. */
export const localShell: HostShell = {
  where: 'local',
  ...looksByCommand(([program = '', ...args]) => runHere(program, args)),
  readFiles: (paths) => Promise.all(paths.map((path) => localShell.readFile(path))),
  async readFile(path, range) {
    try {
      await using file = await open(path, 'r');
      return { outcome: 'read', bytes: await readToEnd(file, range) };
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
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPERM') return mayNotKill(pid);
      if (code !== 'ESRCH')
        throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${errorText(error)}`, { cause: error });
    }
    return undefined;
  },
  close: async () => {},
};

/** A member of the group libvirt may start guests, whose QEMU then belongs to another user. */
function mayNotKill(pid: number) {
  return {
    outOfReach: `process ${pid} belongs to another user, whose processes only root can kill: run as root on the host, or as root@ it in a qemu+ssh:// URI`,
  };
}

/** The shell of the machine that a libvirt URI leads to: a socket stays here, ssh leads there, TCP and TLS give none. */
export function shellOf(uri: string): HostShell {
  const target = parseLibvirtUri(uri);
  switch (target.transport) {
    case 'unix':
      return localShell;
    case 'ssh':
      // The last argument is the command that the libvirt transport runs there.
      return sshShell(sharedLogin(target.command ?? 'ssh', sshArguments(target, false).slice(0, -1)));
    case 'tcp':
    case 'tls':
      return noShell(target.transport);
  }
}

function noShell(transport: string): HostShell {
  const because = `libvirt over ${transport} gives no way to the host's files and processes`;
  const unreadable = { outcome: 'unreadable', because } as const;
  return {
    where: 'none',
    readFile: async () => unreadable,
    readFiles: async (paths) => paths.map(() => unreadable),
    stat: async () => unreadable,
    listFolder: async () => unreadable,
    run: async () => unreadable,
    kill: async (pid) => {
      throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${because}`, { hint: 'Use a qemu+ssh:// URI.' });
    },
    close: async () => {},
  };
}

/** Runs coreutils on the host through ssh, with the arguments that the libvirt transport uses. */
function sshShell(login: SshLogin): HostShell {
  const run = atMost(SSH_AT_A_TIME, async (script: string) => {
    const [program, ...args] = await login.command();
    return runHere(program, [...args, forAnyLoginShell(script)]);
  });
  return {
    where: 'ssh',
    login,
    close: login.close,
    ...looksByCommand((words) => run(`LC_ALL=C ${words.map(shellQuoted).join(' ')}`)),
    async readFiles(paths) {
      if (paths.length === 0) return [];
      const { stdout, because } = await run(manyFilesScript(paths));
      return parseManyFiles(stdout, paths.length, because);
    },
    async readFile(path, range) {
      const quoted = shellQuoted(path);
      const script =
        range === undefined
          ? `cat -- ${quoted}`
          : `dd if=${quoted} iflag=skip_bytes,count_bytes skip=${range.offset} count=${range.length} bs=${range.length} status=none`;
      const result = await run(`export LC_ALL=C; ${script} || { test -e ${quoted} || exit 44; exit 1; }`);
      if (result.exitCode === 44 && saysMissing(result.because)) return { outcome: 'absent' };
      if (result.exitCode !== 0) return { outcome: 'unreadable', because: result.because || 'ssh failed' };
      return { outcome: 'read', bytes: result.stdout };
    },
    async kill(pid) {
      const { exitCode, because } = await run(`export LC_ALL=C; kill -9 ${pid}`);
      if (exitCode === 0 || /No such process/.test(because)) return undefined;
      if (/Operation not permitted/.test(because)) return mayNotKill(pid);
      throw harnessError('HOST_SHELL', `cannot kill process ${pid}: ${because}`);
    },
  };
}

/**
 * The emulated host's file view and process table, over its own program on the libvirt socket. A folder's names are the
 * content of its path with a slash; what `stat` prints of a file is the content of its path below `/.stat`.
 */
export function emulatedShell(connection: LibvirtConnection): HostShell {
  const shell: HostShell = {
    where: 'emulated',
    readFiles: (paths) => Promise.all(paths.map((path) => shell.readFile(path))),
    async stat(path) {
      const reading = await shell.readFile(`/.stat${path}`);
      return reading.outcome === 'read' ? { outcome: 'read', stat: parseStat(reading.bytes) } : reading;
    },
    async listFolder(path) {
      const reading = await shell.readFile(`${path}/`);
      return reading.outcome === 'read' ? { outcome: 'read', names: folderNames(reading.bytes) } : reading;
    },
    run: async () => ({ outcome: 'unreadable', because: 'the emulated host runs no commands' }),
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
      return undefined;
    },
    close: async () => {},
  };
  return shell;
}
