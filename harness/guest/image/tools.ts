import { execa } from 'execa';
import { guestError } from '../errors.ts';

export interface ToolResult {
  readonly exitCode: number | undefined;
  readonly stdout: Uint8Array;
  /** What it said on standard error, or why it did not run to its end. */
  readonly because: string;
}

/** Runs a program of this machine. Throws `GUEST_IMAGE_TOOL`, naming the Debian package, when it is not installed. */
export async function runTool(
  program: string,
  debianPackage: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ToolResult> {
  const result = await execa(program, args, {
    encoding: 'buffer',
    reject: false,
    stdin: 'ignore',
    maxBuffer: 256 * 1024 * 1024,
    env: { LC_ALL: 'C', ...env },
  });
  if (result.code === 'ENOENT') throw missingTool(program, debianPackage);
  const stderr = Buffer.from(result.stderr ?? [])
    .toString()
    .trim();
  return {
    exitCode: result.exitCode,
    stdout: result.stdout ?? new Uint8Array(),
    because: stderr || (result.shortMessage ?? ''),
  };
}

export function missingTool(what: string, debianPackage: string) {
  return guestError('GUEST_IMAGE_TOOL', `a guest image cannot be built: this machine has no ${what}`, {
    hint: `On Debian: apt-get install ${debianPackage}`,
  });
}
