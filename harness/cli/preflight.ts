import { createPaint, wantsColour } from '../../reports/terminal/paint.ts';
import { harnessError } from '../errors.ts';
import { openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { formatPreflight, isNovaRelease, NOVA_MINIMUMS, preflight } from '../host/preflight/index.ts';
import { EXIT } from './output.ts';

export interface PreflightVerbOptions {
  readonly host: string;
  readonly nova?: string;
  readonly json?: boolean;
}

const EXIT_BY_VERDICT = { usable: EXIT.ok, unusable: EXIT.product, unknown: EXIT.broken } as const;

/** Says whether a host is usable for SEV, and if not, why. A host that cannot be reached is an error, exit code 2. */
export async function preflightVerb(options: PreflightVerbOptions): Promise<number> {
  const { nova } = options;
  if (nova !== undefined && !isNovaRelease(nova))
    throw harnessError('CLI_USAGE', `--nova: unknown release '${nova}'`, {
      hint: `Releases with minimums that we know: ${Object.keys(NOVA_MINIMUMS).join(', ')}.`,
    });
  const name = parseHostName(options.host);
  await using host = await openHost(name);
  const report = await preflight(host, nova === undefined ? {} : { nova });
  const text = options.json
    ? `${JSON.stringify({ host: name.text, ...(nova === undefined ? {} : { nova }), ...report })}\n`
    : formatPreflight(name.text, report, createPaint(wantsColour(process.stdout.isTTY === true, process.env)));
  process.stdout.write(text);
  return EXIT_BY_VERDICT[report.verdict];
}
