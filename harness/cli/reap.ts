import { harnessError } from '../errors.ts';
import { openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { reapAll } from '../reaper/all.ts';
import { EXIT, say } from './output.ts';

export interface ReapVerbOptions {
  readonly host: string;
  readonly run?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Removes what crashed runs left on a host, and says for each domain of ours what became of it and why. */
export async function reapVerb(options: ReapVerbOptions): Promise<number> {
  const name = parseHostName(options.host);
  if (name.kind === 'emulated')
    throw harnessError('CLI_USAGE', `${name.text} ends with its run: there is nothing to reap`, {
      hint: 'Give the URI of a real host, or the URI that `npm run emulate` printed.',
    });
  await using host = await openHost(name);
  const reapOptions = { dryRun: options.dryRun === true, ...(options.run === undefined ? {} : { runId: options.run }) };
  const rows = await reapAll(host, reapOptions);
  if (options.json) process.stdout.write(`${JSON.stringify({ rows })}\n`);
  else for (const row of rows) say(`${row.action.padEnd(12)} ${row.name}: ${row.because}`);
  const count = (action: string) => rows.filter((row) => row.action === action).length;
  say(
    `${count('removed')} removed, ${count('kept') + count('would-remove')} kept, ${count('failed')} failed on ${name.text}`,
  );
  return count('failed') > 0 ? EXIT.broken : EXIT.ok;
}
