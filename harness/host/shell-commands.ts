import { execa } from 'execa';
import type { FileReading, FileStat, FolderReading, StatReading } from './shell.ts';

/** What a command came to; `exitCode` is undefined when it could not start or took too long. */
export interface CommandResult {
  readonly exitCode: number | undefined;
  readonly stdout: Uint8Array;
  readonly because: string;
}

/** Runs one program with its arguments, here or on another machine. */
export type RunCommand = (command: readonly string[]) => Promise<CommandResult>;

const COMMAND_TIMEOUT_MS = 30_000;
/** Shells answer 127 for a program that they do not find. */
const NO_SUCH_PROGRAM = 127;
/** `stat` fails on %C, and prints no more than `?`, where the kernel keeps no labels. */
const STAT_SCRIPT = `stat -L -c '%a %U %G' -- "$1" && { stat -L -c '%C' -- "$1" 2>/dev/null || echo '?'; }`;
const MISSING_FILE = /No such file or directory|Not a directory/;

/** Whether a program's words say that there is no such file; in a folder that is closed to the user there may be one. */
export function saysMissing(because: string): boolean {
  return MISSING_FILE.test(because);
}

/** Runs a program on this machine, in the C locale, so that its texts can be read. */
export async function runHere(program: string, args: readonly string[]): Promise<CommandResult> {
  const result = await execa(program, args, {
    encoding: 'buffer',
    reject: false,
    timeout: COMMAND_TIMEOUT_MS,
    stdin: 'ignore',
    // What is printed may be a file's bytes.
    stripFinalNewline: false,
    // A process group of its own: Ctrl-C must not end what cleaning up needs.
    detached: true,
    env: { LC_ALL: 'C' },
  });
  const missing = result.failed && result.code === 'ENOENT';
  return {
    exitCode: missing ? NO_SUCH_PROGRAM : result.exitCode,
    stdout: result.stdout ?? new Uint8Array(),
    because:
      Buffer.from(result.stderr ?? [])
        .toString()
        .trim() ||
      result.shortMessage ||
      '',
  };
}

export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * A script for `sh`, in words that every login shell takes for the same: no quotes within quotes, and no line breaks. A host
 * without base64 (coreutils) fails, as nothing to run would not.
 */
export function forAnyLoginShell(script: string): string {
  return `exec sh -c 'eval "$(echo ${Buffer.from(script).toString('base64')} | base64 -d || echo exit 1)"'`;
}

/** The parts of a shell that are commands of coreutils, by whatever way they are run. */
export function looksByCommand(run: RunCommand) {
  const outcome = async (command: readonly string[]): Promise<FileReading> => {
    const { exitCode, stdout, because } = await run(command);
    if (exitCode === 0) return { outcome: 'read', bytes: stdout };
    if (exitCode === NO_SUCH_PROGRAM) return { outcome: 'absent' };
    return { outcome: 'unreadable', because: because || `${command[0]} ended with ${exitCode ?? 'no exit code'}` };
  };
  return {
    run: outcome,
    async stat(path: string): Promise<StatReading> {
      const reading = await outcome(['sh', '-c', STAT_SCRIPT, 'sh', path]);
      if (reading.outcome === 'unreadable' && saysMissing(reading.because)) return { outcome: 'absent' };
      if (reading.outcome !== 'read') return unreadableUnlessRead(reading, 'stat');
      return { outcome: 'read', stat: parseStat(reading.bytes) };
    },
    async listFolder(path: string): Promise<FolderReading> {
      const reading = await outcome(['ls', '-1A', '--', path]);
      if (reading.outcome === 'unreadable' && saysMissing(reading.because)) return { outcome: 'absent' };
      if (reading.outcome !== 'read') return unreadableUnlessRead(reading, 'ls');
      return { outcome: 'read', names: folderNames(reading.bytes) };
    },
  };
}

/** What the script prints: mode, owner, group and label, which is `?` on a kernel without SELinux. */
export function parseStat(bytes: Uint8Array): FileStat {
  const [mode = '', owner = '', group = '', label = '?'] = Buffer.from(bytes).toString().trim().split(/\s+/);
  return { mode: Number.parseInt(mode, 8), owner, group, ...(label === '?' ? {} : { label }) };
}

/** Names, one on a line. */
export function folderNames(bytes: Uint8Array): string[] {
  return Buffer.from(bytes)
    .toString()
    .split('\n')
    .filter((name) => name !== '');
}

/** A host without the program says nothing about the file. */
function unreadableUnlessRead(reading: Exclude<FileReading, { outcome: 'read' }>, program: string) {
  if (reading.outcome === 'unreadable') return reading;
  return { outcome: 'unreadable', because: `the host has no ${program}` } as const;
}

/** A script that prints one line for each path: `A`, `R <base64>` or `U <reason>`; see `parseManyFiles`. */
export function manyFilesScript(paths: readonly string[]): string {
  return `export LC_ALL=C; for f in ${paths.map(shellQuoted).join(' ')}; do
if c=$(base64 -w0 -- "$f" 2>&1); then echo "R $c"; elif [ -e "$f" ]; then echo "U $c"; else case "$c" in
*'No such file'*|*'Not a directory'*) echo A;; *) echo "U $c";; esac; fi; done`;
}

/** What the script printed, in the order of its paths; a line too few is unreadable. */
export function parseManyFiles(stdout: Uint8Array, count: number, because: string): FileReading[] {
  const lines = Buffer.from(stdout).toString().split('\n');
  return Array.from({ length: count }, (_, index): FileReading => {
    const line = lines[index] ?? '';
    if (line === 'A') return { outcome: 'absent' };
    if (line.startsWith('R ') || line === 'R')
      return { outcome: 'read', bytes: new Uint8Array(Buffer.from(line.slice(2), 'base64')) };
    return { outcome: 'unreadable', because: line.slice(2) || because || 'the host did not answer' };
  });
}
