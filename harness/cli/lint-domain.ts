import { errorText, isSevHarnessError } from '../../core/errors.ts';
import { createPaint, wantsColour } from '../../reports/terminal/paint.ts';
import { type Finding, fixDomain, type LintReport, lintDomain, type RuleChange } from '../conformance/lint.ts';
import type { HostValues, ProfileName } from '../conformance/rule.ts';
import { formatChanges, formatFindings, summaryOf } from '../conformance/text.ts';
import { harnessError } from '../errors.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { isNoDomain } from '../libvirt/index.ts';
import { EXIT, say } from './output.ts';
import { nameOf, readInput, replaceFile } from './text-file.ts';

export interface LintDomainOptions {
  readonly host?: string;
  readonly domain?: string;
  readonly cbitpos?: number;
  readonly reducedPhysBits?: number;
  readonly profile: ProfileName;
  readonly fix?: boolean;
  readonly json?: boolean;
}

/** libvirt takes 4 Mi characters; UTF-8 has at most four bytes for each. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Lints the XML of one domain. Exit code 1 when it breaks a rule. */
export async function lintDomainVerb(file: string | undefined, options: LintDomainOptions): Promise<number> {
  refuseBadOptions(file, options);
  const given = givenValues(options);
  const isText = file !== undefined;
  const local = isText ? decodeXml(file, readInput(file, MAX_BYTES)) : undefined;
  const remote =
    options.domain !== undefined || (given === undefined && options.host !== undefined)
      ? await readHost(options)
      : undefined;
  const xml = local ?? remote?.xml ?? '';
  const host = given ?? remote?.values;
  const lintOptions = { profile: options.profile, ...(host === undefined ? {} : { host }) };
  const name = isText ? nameOf(file) : `domain ${options.domain}`;
  const about = {
    name,
    profile: options.profile,
    comparedWith: given === undefined ? remote?.comparedWith : 'the flags',
  };

  const writesXml = options.fix === true && (file === undefined || file === '-');
  const paint = createPaint(wantsColour((writesXml ? process.stderr : process.stdout).isTTY === true, process.env));
  if (!options.fix) {
    const report = named(name, () => lintDomain(xml, lintOptions));
    process.stdout.write(options.json ? jsonText(report) : formatFindings(report, about, paint));
    return exitCode(report);
  }
  const fixed = named(name, () => fixDomain(xml, lintOptions));
  if (writesXml) process.stdout.write(fixed.xml);
  else if (fixed.xml !== xml && isText) replaceFile(file, fixed.xml);
  say(`${name}: ${fixed.mended.length === 0 ? 'nothing to change' : `changed for ${summaryOf(fixed.mended)}`}`);
  process.stderr.write(formatChanges(fixed.changes));
  const text = options.json ? jsonText(fixed, fixed.changes) : formatFindings(fixed, about, paint);
  (writesXml ? process.stderr : process.stdout).write(text);
  return exitCode(fixed);
}

function refuseBadOptions(file: string | undefined, options: LintDomainOptions): void {
  const usage = (text: string, hint: string) => harnessError('CLI_USAGE', text, { hint });
  if ((file === undefined) === (options.domain === undefined))
    throw usage(
      file === undefined ? 'name a file to lint' : 'give a file or --domain, not both',
      'For example: npm run lint:domain -- guest.xml; - reads standard input; --host URI --domain NAME reads it from libvirt.',
    );
  if (options.domain !== undefined && options.host === undefined)
    throw usage('--domain needs --host', 'For example: --host qemu:///system --domain guest1.');
  if ((options.cbitpos === undefined) !== (options.reducedPhysBits === undefined))
    throw usage(
      '--cbitpos and --reduced-phys-bits belong together',
      'Give both as `virsh domcapabilities` prints them, or --host.',
    );
  if (options.json && options.fix && (file === undefined || file === '-'))
    throw usage('--fix and --json would both write to standard output', 'Name a file, or leave one of them out.');
}

function givenValues({ cbitpos, reducedPhysBits }: LintDomainOptions): HostValues | undefined {
  return cbitpos === undefined || reducedPhysBits === undefined ? undefined : { cbitpos, reducedPhysBits };
}

interface FromHost {
  readonly values: HostValues | undefined;
  readonly comparedWith: string | undefined;
  readonly xml: string | undefined;
}

async function readHost({ host: uri = '', domain }: LintDomainOptions): Promise<FromHost> {
  await using host = await openHost(parseHostName(uri));
  const xml = domain === undefined ? undefined : await definitionOf(host, domain);
  const { domainCapabilities } = await readSevFacts(host);
  if (domainCapabilities === undefined)
    say(`${uri} offers no SEV: cbitpos and reducedPhysBits are compared with nothing.`);
  return { values: domainCapabilities, comparedWith: domainCapabilities && uri, xml };
}

async function definitionOf(host: Host, name: string): Promise<string> {
  try {
    return await (await host.connection.lookupByName(name)).xml({ inactive: true });
  } catch (error) {
    if (!isNoDomain(error)) throw error;
    const known = (await host.connection.listDomains()).map((domain) => domain.name);
    throw harnessError('CLI_USAGE', `${host.name} has no domain '${name}'`, {
      hint: known.length === 0 ? 'It has no domain at all.' : `It has: ${known.slice(0, 20).join(', ')}.`,
    });
  }
}

function decodeXml(file: string, bytes: Uint8Array): string {
  try {
    // The byte order mark stays, so that --fix can write it again.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw harnessError('DOMAIN_XML_MALFORMED', `${nameOf(file)} is not UTF-8 text: ${errorText(error)}`, {
      cause: error,
    });
  }
}

const XML_ERRORS = ['DOMAIN_XML_MALFORMED', 'DOMAIN_XML_OTHER_ROOT'] as const;

/** Says of which file or domain the linter speaks when it cannot read the XML. */
function named<T>(name: string, judge: () => T): T {
  try {
    return judge();
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    const code = XML_ERRORS.find((one) => one === error.code);
    if (code === undefined) throw error;
    throw harnessError(code, `${name}: ${error.message}`, {
      cause: error,
      hint: error.hint ?? 'Give the XML of one domain, as `virsh dumpxml` prints it.',
    });
  }
}

/** The promised shape and nothing else: other tools read it. Changes only of a fix. */
function jsonText({ findings }: LintReport, changes?: readonly RuleChange[]): string {
  const rows = findings.map(
    ({ rule, severity, location, message, source }): Finding => ({ rule, severity, location, message, source }),
  );
  return `${JSON.stringify({ findings: rows, changes })}\n`;
}

function exitCode({ findings }: LintReport): number {
  return findings.some(({ severity }) => severity === 'error') ? EXIT.product : EXIT.ok;
}
