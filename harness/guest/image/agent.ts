import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { guestError } from '../errors.ts';
import { runTool } from './tools.ts';

/** The source of what runs in the guest: C for the agent, shell for its first process. */
export interface AgentSource {
  readonly folder: string;
  /** By name, in ascending order. */
  readonly files: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

const COMPILER = 'cc';
/** No build id and no paths of this machine, so that the same source gives the same program wherever it is compiled. */
const FLAGS = ['-std=gnu11', '-O2', '-static', '-s', '-Wall', '-Wl,--build-id=none'];

const SOURCE_FOLDER = 'harness/guest/image/agent';

/** The source in this package, above whose root neither this file nor what it is compiled to stands. */
export async function readAgentSource(): Promise<AgentSource> {
  let root = import.meta.dirname;
  while (!existsSync(path.join(root, SOURCE_FOLDER)) && root !== path.dirname(root)) root = path.dirname(root);
  const folder = path.join(root, SOURCE_FOLDER);
  const names = (await readdir(folder)).filter((name) => /\.(c|h|sh)$/.test(name)).toSorted();
  const files = names.map(async (name) => ({ name, bytes: new Uint8Array(await readFile(path.join(folder, name))) }));
  return { folder, files: await Promise.all(files) };
}

/** What the compiler says it is: another compiler gives another agent. Throws `GUEST_IMAGE_TOOL`. */
export async function compilerVersion(): Promise<string> {
  const { stdout } = await runTool(COMPILER, 'gcc libc6-dev', ['--version']);
  return Buffer.from(stdout).toString().split('\n')[0] ?? '';
}

/** The C library that the agent carries in itself: another one gives another agent. Empty where there is none. */
export async function staticLibrary(): Promise<Uint8Array> {
  const { stdout } = await runTool(COMPILER, 'gcc libc6-dev', ['-print-file-name=libc.a']);
  return readFile(Buffer.from(stdout).toString().trim()).catch(() => new Uint8Array());
}

/** Compiles the agent in a folder, with this machine's C compiler. Throws `GUEST_IMAGE_TOOL` and `GUEST_IMAGE_BUILD`. */
export async function compileAgent({ folder, files }: AgentSource, place: string): Promise<Uint8Array> {
  const sources = files.flatMap(({ name }) => (name.endsWith('.c') ? [path.join(folder, name)] : []));
  const output = path.join(place, 'agent');
  // What the compiler itself writes in between shall go with the folder too.
  const result = await runTool(COMPILER, 'gcc libc6-dev', [...FLAGS, '-o', output, ...sources], { TMPDIR: place });
  if (result.exitCode !== 0) {
    throw guestError(
      'GUEST_IMAGE_BUILD',
      `${COMPILER} does not compile the guest agent: ${result.because.split('\n')[0]}`,
      {
        details: { output: result.because },
        hint: 'A static C library is needed. On Debian: apt-get install libc6-dev',
      },
    );
  }
  return new Uint8Array(await readFile(output));
}
