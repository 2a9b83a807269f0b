import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { addAnalysisVerbs } from './analysis-verbs.ts';
import { formatChanges } from './destructive.ts';
import { EXIT } from './output.ts';
import { harnessVersion } from './version.ts';

const DEFAULT_HOST = 'fake:naples';
const DEFAULT_REPORT = 'sev-report';

function count(minimum: number, what: string) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < minimum)
      throw new InvalidArgumentError(`Give ${what} as a whole number of at least ${minimum}.`);
    return value;
  };
}

const commaList = (text: string, previous: readonly string[] = []): readonly string[] => [
  ...previous,
  ...text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== ''),
];

const hostOption = () =>
  new Option('--host <uri>', 'fake:<profile>, or a libvirt URI').env('SEV_HARNESS_HOST').default(DEFAULT_HOST);

const faultOption = () =>
  new Option('--fault <id,…>', 'break the emulated host on purpose')
    .env('SEV_HARNESS_FAULT')
    .argParser(commaList)
    .default([], 'none');

const REPORT_EXIT_CODES = `
Exit codes: 0 rendered, or nothing that held before is broken now, 1 something is, 2 the later run could not judge something, or the
output cannot be written, 3 usage or no run.`;

/** Verbs are loaded when they run: `--help` and usage errors need none of them. */
function buildProgram(finish: (code: number) => void): Command {
  const program = new Command('sev-harness')
    .description('Tests and attests what AMD SEV promises, on real hosts and on an emulated one.')
    .version(harnessVersion())
    .showHelpAfterError(false)
    .exitOverride();

  program
    .command('scenario')
    .description('run scenarios and write a report (all scenarios when none is named)')
    .argument('[id...]', 'scenarios to run')
    .addOption(hostOption())
    .addOption(new Option('--report <dir>', 'report folder').env('SEV_HARNESS_REPORT').default(DEFAULT_REPORT))
    .addOption(
      new Option('--require <need,…>', 'needs that must not be skipped: sev, sev-es, sev-snp')
        .env('SEV_HARNESS_REQUIRE')
        .argParser(commaList)
        .default([], 'none'),
    )
    .addOption(
      new Option(
        '--max-guests <n>',
        'most guests of a kind that slot scenarios run at a time; the slot limit where libvirt names none',
      )
        .env('SEV_HARNESS_MAX_GUESTS')
        .argParser(count(1, 'the limit')),
    )
    .addOption(faultOption())
    .addOption(
      new Option('--retry <n>', 'run a failed scenario again, up to n times')
        .env('SEV_HARNESS_RETRY')
        .argParser(count(0, 'the number'))
        .default(0),
    )
    .addOption(
      new Option('--timeout <s>', 'seconds that one scenario may take (default: 600, and more for many slots)')
        .env('SEV_HARNESS_TIMEOUT')
        .argParser(count(1, 'seconds')),
    )
    .addOption(
      new Option('--wait <s>', 'seconds to wait for another run on the same host')
        .env('SEV_HARNESS_WAIT')
        .argParser(count(0, 'seconds'))
        .default(0),
    )
    .option('--allow-destructive', 'let the scenarios below change the host')
    .addOption(
      new Option(
        '--kernel <file>',
        "kernel of this machine that guests of a real host boot (default: the machine's own)",
      ).env('SEV_HARNESS_KERNEL'),
    )
    .addOption(
      new Option('--images <dir>', 'folder for guest images (default: /var/tmp/sev-harness-<uid>)').env(
        'SEV_HARNESS_IMAGES',
      ),
    )
    .option('--list', 'list the scenarios and run none')
    .option('--json', 'write run events to stdout, one JSON object a line')
    .addHelpText(
      'after',
      `
With --allow-destructive these change the host; name one, so that no other runs:
${formatChanges()}
Examples:
  npm run scenario -- slot-limit                                  fifteen guests on the emulated Naples host
  npm run scenario -- --host fake:naples-es                       every scenario, on a host with SEV-ES
  npm run scenario -- --host qemu:///system --require sev         a real host; skipping for lack of SEV is a failure
  npm run scenario -- slot-limit --host qemu+ssh://root@lab7/system --report out/
  npm run scenario -- ksm --host qemu:///system --allow-destructive

Exit codes: 0 all as expected, 1 a promise is broken, 2 the harness or the host is not usable or nothing ran, 3 usage.`,
    )
    .action(async (ids, options) => finish(await (await import('./scenario.ts')).scenarioVerb(ids, options)));

  program
    .command('preflight')
    .description('say whether a host is usable for SEV, and if not, why')
    .addOption(hostOption())
    .addOption(new Option('--nova <release>', 'check the minimums of this nova release too').env('SEV_HARNESS_NOVA'))
    .option('--json', 'print verdict and rows as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  npm run preflight -- --host qemu:///system
  npm run preflight -- --host qemu+ssh://root@lab7/system --nova 2025.2
  npm run preflight -- --host fake:sev-off-in-bios --json

Exit codes: 0 usable for SEV, 1 not usable, 2 the host or one of the two conditions could not be read, 3 usage.`,
    )
    .action(async (options) => finish(await (await import('./preflight.ts')).preflightVerb(options)));

  program
    .command('emulate')
    .description('serve an emulated SEV host for virsh, libvirt-python or nova')
    .addOption(new Option('--profile <name>', 'machine to emulate').env('SEV_HARNESS_PROFILE').default('naples'))
    .addOption(
      new Option('--socket <path>', 'socket to listen on (default: one in a temporary folder)').env(
        'SEV_HARNESS_SOCKET',
      ),
    )
    .addOption(faultOption())
    .option('--certs <dir>', "write the emulated manufacturer's certificates here, for attest")
    .option('--realistic-delays', 'let boots and shutdowns take the time they take on a machine')
    .option('--verbose', 'say on stderr what clients ask')
    .addHelpText(
      'after',
      `
Examples:
  npm run emulate -- --profile naples
  npm run emulate -- --profile naples-es --socket /tmp/sev.sock
  npm run --silent emulate -- --profile milan > uri &             stdout is the URI alone
  until [ -s uri ]; do sleep 1; done; virsh -c "$(cat uri)" nodesevinfo

Ctrl-C stops the host and every guest on it.

Exit codes: 0 stopped as asked, 2 the socket or a certificate cannot be written, 3 usage.`,
    )
    .action(async (options) => finish(await (await import('./emulate.ts')).emulateVerb(options)));

  program
    .command('reap')
    .description('remove and put back what crashed runs left on a host; others are never touched')
    .addOption(new Option('--host <uri>', 'libvirt URI').env('SEV_HARNESS_HOST').default('qemu:///system'))
    .option('--run <id>', 'only this run, also when it was started on another machine')
    .addOption(new Option('--images <dir>', 'folder for guest images that the run was given').env('SEV_HARNESS_IMAGES'))
    .option('--dry-run', 'only say what would be removed')
    .option('--json', 'print the rows as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  npm run reap -- --host qemu:///system --dry-run
  npm run reap -- --host qemu+ssh://root@lab7/system --run mabc12de3f

Exit codes: 0 nothing of a dead run is left, 2 the host is not usable or something could not be removed, 3 usage.`,
    )
    .action(async (options) => finish(await (await import('./reap.ts')).reapVerb(options)));

  program
    .command('faults')
    .description('prove that every check can fail: run all scenarios clean and under each fault')
    .option('--profile <name>', 'only this profile; without it those on which each fault is expected to show')
    .addOption(faultOption())
    .option('--all', 'also run scenarios that never ask the host for the fault (slow; must give the same result)')
    .option('--json', 'print the rows as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  npm run faults
  npm run faults -- --fault slot-leak-on-kill --profile naples

Exit codes: 0 every fault is caught, 1 one is missed or a good host is called bad, 2 it did not come to an end, 3 usage.`,
    )
    .action(async (options) => finish(await (await import('./faults.ts')).faultsVerb(options)));

  const report = program
    .command('report')
    .description('render a finished run again, or compare two')
    .addHelpText(
      'after',
      `
Examples:
  npm run report -- render sev-report/run.json
  npm run report -- render sev-report/run.json --format github
  npm run report -- diff baseline/run.json sev-report/run.json
${REPORT_EXIT_CODES}`,
    );
  report
    .command('render')
    .description('write index.html, junit.xml and run.json of a run, or print one format')
    .argument('<file>', 'run.json, run.jsonl or a report folder')
    .option('--out <dir>', 'folder to write to (default: where the file is)')
    .option('--format <name>', 'print this format on stdout instead')
    .addHelpText('after', REPORT_EXIT_CODES)
    .action(async (file, options) => finish((await import('./report.ts')).renderVerb(file, options)));
  report
    .command('diff')
    .description('what changed between a baseline run and another')
    .argument('<baseline>', 'run.json of the baseline')
    .argument('<candidate>', 'run.json to compare with it')
    .option('--json', 'print the difference as JSON')
    .addHelpText('after', REPORT_EXIT_CODES)
    .action(async (baseline, candidate, options) =>
      finish((await import('./report.ts')).diffVerb(baseline, candidate, options)),
    );
  addAnalysisVerbs(program, finish);
  // For the overview only: main.ts hands these words to attest's own parser.
  program.command('attest').description("verify guests up to AMD's roots, make sessions, give out secrets");
  quietErrors(program);
  refuseEmpty(program);
  return program;
}

/** `--report "$DIR"` with DIR not set is a slip that must not write here; an empty variable of ours is as good as none. */
function refuseEmpty(command: Command): void {
  for (const option of command.options) {
    if (option.envVar !== undefined && process.env[option.envVar] === '') delete process.env[option.envVar];
    if (!option.required) continue;
    const parse = option.parseArg;
    option.argParser((text: string, previous: unknown) => {
      if (text.trim() === '') throw new InvalidArgumentError('It is empty.');
      return parse === undefined ? text : parse(text, previous);
    });
  }
  for (const sub of command.commands) refuseEmpty(sub);
}

/** Commander's own errors become one line and exit code 3, on every level. */
function quietErrors(command: Command): void {
  command.exitOverride().configureOutput({
    outputError: (text, write) =>
      write(
        `${text
          .trim()
          .replace(/^error: /, 'error: ')
          .replace(/\n+/g, ' ')}\n`,
      ),
  });
  for (const sub of command.commands) quietErrors(sub);
}

/** Runs every verb but `attest`, which does without this parser. Returns the exit code; throws what a verb throws. */
export async function runProgram(words: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  try {
    await buildProgram((verbCode) => {
      code = verbCode;
    }).parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}
