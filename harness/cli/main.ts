#!/usr/bin/env node
import { rerunWithFreshBuild } from './fresh-build.ts';
import { exitCodeOf, guardOutput, printError } from './output.ts';

/** Verbs are loaded when they run; `attest` is run once per guest, and starts in half the time without commander. */
async function main(words: readonly string[]): Promise<number> {
  try {
    const rerun = await rerunWithFreshBuild(words[0]);
    if (rerun !== undefined) return rerun;
    if (words[0] !== 'attest') {
      guardOutput();
      return await (await import('./program.ts')).runProgram(words);
    }
    const [{ attestCommand }, { processIo }] = await Promise.all([
      import('./attest/command.ts'),
      import('./attest/process-io.ts'),
    ]);
    return await attestCommand(words.slice(1), processIo());
  } catch (error) {
    printError(error);
    return exitCodeOf(error);
  }
}

// Not awaited here: the bundle is CommonJS, which has no await outside a function.
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
