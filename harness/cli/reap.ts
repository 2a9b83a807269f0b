import { harnessError } from '../errors.ts';
import { imagesFolder } from '../guest/image/build.ts';
import { sweepWorkplaces } from '../guest/image/workplace.ts';
import { openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { reapAll } from '../reaper/all.ts';
import type { ReapOptions, ReapRow } from '../reaper/reap.ts';
import { EXIT, say } from './output.ts';

export interface ReapVerbOptions {
  readonly host: string;
  readonly run?: string;
  readonly dryRun?: boolean;
  readonly images?: string;
  readonly json?: boolean;
}

/** Removes what crashed runs left on a host and in the folder of guest images here, and says for each domain of ours what became of it and why. */
export async function reapVerb(options: ReapVerbOptions): Promise<number> {
  const name = parseHostName(options.host);
  if (name.kind === 'emulated')
    throw harnessError('CLI_USAGE', `${name.text} ends with its run: there is nothing to reap`, {
      hint: 'Give the URI of a real host, or the URI that `npm run emulate` printed.',
    });
  await using host = await openHost(name);
  const reapOptions: ReapOptions = {
    dryRun: options.dryRun === true,
    ...(options.run === undefined ? {} : { runId: options.run }),
    ...(options.images === undefined ? {} : { images: options.images }),
  };
  const rows = [...(await reapAll(host, reapOptions)), ...(await reapImages(reapOptions))];
  if (options.json) process.stdout.write(`${JSON.stringify({ rows })}\n`);
  else for (const row of rows) say(`${row.action.padEnd(12)} ${row.name}: ${row.because}`);
  const count = (action: string) => rows.filter((row) => row.action === action).length;
  say(
    `${count('removed')} removed, ${count('kept') + count('would-remove')} kept, ${count('failed')} failed on ${name.text}`,
  );
  return count('failed') > 0 ? EXIT.broken : EXIT.ok;
}

/** Images that were being built on this machine; which run built them does not show. */
async function reapImages({ dryRun, runId, images }: ReapOptions): Promise<ReapRow[]> {
  if (dryRun || runId !== undefined) return [];
  const swept = await sweepWorkplaces(images ?? imagesFolder());
  const because = 'the process that was building a guest image in it is dead';
  return swept.map((name) => ({ name, runId: undefined, action: 'removed', because }));
}
