import { type Command, InvalidArgumentError, Option } from 'commander';

function bits(text: string): number {
  if (!/^(?:\d{1,2}|0x[0-9a-f]{1,2})$/i.test(text) || Number(text) > 63)
    throw new InvalidArgumentError('Give a whole number from 0 to 63.');
  return Number(text);
}

/** Verbs that judge what they are given and start no guest: domain XML and logs. */
export function addAnalysisVerbs(program: Command, finish: (code: number) => void): void {
  program
    .command('lint-domain')
    .description('judge the XML of a SEV guest by the rules of the specifications')
    .argument('[file]', 'domain XML; - reads standard input')
    .addOption(
      new Option('--host <uri>', 'compare with the values of this host: fake:<profile>, or a libvirt URI').env(
        'SEV_HARNESS_HOST',
      ),
    )
    .option('--domain <name>', 'lint this domain of the host instead of a file')
    .addOption(new Option('--cbitpos <n>', "the host's C-bit position, without asking it").argParser(bits))
    .addOption(new Option('--reduced-phys-bits <n>', "the host's reduction of address bits").argParser(bits))
    .addOption(
      new Option('--profile <name>', 'train: as the seed documents ask; modern: QEMU 6.2, libvirt 8 and later')
        .choices(['train', 'modern'])
        .default('modern'),
    )
    .option('--fix', 'make the changes that are certain: in the file, or on standard output for - and --domain')
    .option('--json', 'print the findings as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  npm run lint:domain -- guest.xml --cbitpos 51 --reduced-phys-bits 1
  npm run lint:domain -- guest.xml --host qemu:///system --profile train --fix
  npm run lint:domain -- --host qemu:///system --domain guest1
  virsh dumpxml guest1 | npm run --silent lint:domain -- - --fix > guest2.xml

Exit codes: 0 clean or warnings only, 1 a rule is broken, 2 the host is not usable, 3 usage or no domain XML.`,
    )
    .action(async (file, options) => finish(await (await import('./lint-domain.ts')).lintDomainVerb(file, options)));

  program
    .command('diagnose')
    .description('say what went wrong, from the log of a guest, of libvirt or of the kernel')
    .argument('[file...]', 'logs; - or nothing reads standard input')
    .option('--libvirt <version>', "the host's libvirt, where the log does not say it")
    .option('--qemu <version>', "the host's QEMU")
    .option('--kernel <version>', "the host's kernel")
    .option('--json', 'print the diagnosis as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  npm run diagnose -- /var/log/libvirt/qemu/guest1.log
  dmesg | npm run --silent diagnose -- guest1.log -
  virsh start guest1 2>&1 | npm run --silent diagnose

Exit codes: 0 a cause is named or nothing failed, 1 something failed and the table does not know why, 2 the log is empty,
3 usage.`,
    )
    .action(async (files, options) => finish((await import('./diagnose.ts')).diagnoseVerb(files, options)));
}
