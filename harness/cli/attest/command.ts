import { EXIT } from '../output.ts';
import { CHAIN_FLAGS } from './chain-flags.ts';
import { type Arguments, clip, describeFlags, type Flag, type FlagGroup, parseFlags, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';

/** A verb of `attest`. Its flags and its work are loaded when it is named. */
interface Verb {
  readonly name: string;
  readonly summary: string;
  /** What the one word that is no flag stands for. */
  readonly word?: string;
  readonly groups: () => Promise<readonly FlagGroup[]>;
  readonly run: (args: Arguments, io: AttestIo) => Promise<number> | number;
  readonly examples: readonly string[];
  readonly exit: string;
}

const JSON_FLAG: Flag = { name: 'json', help: 'print the result as JSON on standard output' };
const QUIET_FLAG: Flag = { name: 'quiet', short: 'q', help: 'print nothing: the exit code is the answer' };
const INSECURE_FLAG: Flag = { name: 'insecure', short: 'i', help: 'also for a platform that nothing vouches for' };
const VERDICT = 'Exit codes: 0 valid, 1 invalid or incomplete, 2 the environment, 3 usage.';

const output = (...flags: readonly Flag[]): FlagGroup => ({ title: 'Output', flags });

async function evidenceGroups(): Promise<readonly FlagGroup[]> {
  const { DOMAIN_FLAGS, LAUNCH_GROUPS, SESSION_FLAGS } = await import('./evidence.ts');
  return [...LAUNCH_GROUPS, SESSION_FLAGS, CHAIN_FLAGS, DOMAIN_FLAGS];
}

const VERBS: readonly Verb[] = [
  {
    name: 'chain',
    summary: "verify a platform's certificates up to AMD's root",
    groups: async () => [CHAIN_FLAGS, output(JSON_FLAG, QUIET_FLAG)],
    run: async (args, io) => (await import('./chain.ts')).chainVerb(args, io),
    examples: [
      'attest chain --chain chain.b64 --pdh pdh.b64 --ask-ark ask_ark_milan.cert --cek cek.cert',
      'attest chain --chain export-full.cert',
    ],
    exit: VERDICT,
  },
  {
    name: 'session',
    summary: "make an owner's launch session for a platform and a policy",
    groups: async () => [
      {
        title: 'The session',
        flags: [
          { name: 'policy', value: 'P', help: 'policy of the guest, 0x0005 or 5' },
          {
            name: 'name',
            value: 'NAME',
            help: 'the files are NAME_godh.b64, NAME_session.b64, NAME_tik.bin, NAME_tek.bin',
          },
          { name: 'out', value: 'DIR', help: 'folder to write them to; nothing there is overwritten' },
          INSECURE_FLAG,
        ],
      },
      CHAIN_FLAGS,
      output(JSON_FLAG),
    ],
    run: async (args, io) => (await import('./session.ts')).sessionVerb(args, io),
    examples: [
      'attest session --pdh pdh.b64 --chain chain.b64 --cek cek.cert --ask-ark ask_ark_milan.cert --policy 0x0005 --name web --out keys',
    ],
    exit: 'Exit codes: 0 made, 1 the platform does not verify, 2 the environment, 3 usage.',
  },
  {
    name: 'digest',
    summary: 'compute the launch digest of a guest',
    groups: async () => [
      (await import('./guest-input.ts')).GUEST_FLAGS,
      {
        title: 'Policy',
        flags: [{ name: 'policy', value: 'P', help: 'decides between SEV and SEV-ES; without it the vCPU flags do' }],
      },
      output(JSON_FLAG),
    ],
    run: async (args, io) => (await import('./digest.ts')).digestVerb(args, io),
    examples: [
      'attest digest --firmware OVMF.fd',
      'attest digest --firmware OVMF.fd --kernel vmlinuz --initrd initrd.img --cmdline "root=LABEL=root"',
      'attest digest --firmware OVMF.fd --num-cpus 4 --cpu-family 25 --cpu-model 1 --cpu-stepping 1',
    ],
    exit: 'Exit codes: 0 computed, 2 the environment, 3 usage.',
  },
  {
    name: 'verify',
    summary: 'verify measurement, session and chain of a launch in one verdict',
    groups: async () => [...(await evidenceGroups()), output(JSON_FLAG, QUIET_FLAG)],
    run: async (args, io) => (await import('./verify.ts')).verifyVerb(args, io),
    examples: [
      'attest verify --measurement "$M" --api-major 1 --api-minor 55 --build-id 21 --policy 0x0001 --firmware OVMF.fd --tik web_tik.bin',
      'attest verify --connect qemu+ssh://root@lab7/system --domain web --firmware OVMF.fd --tik web_tik.bin --session web_session.b64',
    ],
    exit: VERDICT,
  },
  {
    name: 'secret',
    summary: 'encrypt secrets for a guest whose launch verifies, and inject them',
    groups: async () => [
      {
        title: 'The secrets',
        flags: [
          { name: 'inject-secret', short: 's', value: 'ID:FILE', many: true, help: 'GUID or luks-key, and a file' },
          { name: 'secret-header', value: 'FILE', help: 'write the packet header here (base64)' },
          { name: 'secret-payload', value: 'FILE', help: 'write the encrypted secrets here (base64)' },
          { name: 'no-resume', help: 'leave the domain paused after injecting' },
          { name: 'open', help: 'say what is in a packet instead' },
        ],
      },
      ...(await evidenceGroups()),
      output(JSON_FLAG, QUIET_FLAG),
    ],
    run: async (args, io) => (await import('./secret.ts')).secretVerb(args, io),
    examples: [
      'attest secret --connect qemu+ssh://root@lab7/system --domain web --firmware OVMF.fd --tik web_tik.bin --tek web_tek.bin --inject-secret luks-key:passphrase.txt',
    ],
    exit: 'Exit codes: 0 given out, 1 the launch does not verify, 2 the environment, 3 usage.',
  },
  {
    name: 'explain',
    summary: 'find the input that would make a measurement match',
    groups: async () => {
      const { DOMAIN_FLAGS, LAUNCH_GROUPS } = await import('./evidence.ts');
      const search: FlagGroup = {
        title: 'The search',
        flags: [
          { name: 'alternate', value: 'FILE', many: true, help: 'another guest firmware that may have been started' },
          { name: 'max-candidates', value: 'N', help: 'stop after this many' },
        ],
      };
      return [...LAUNCH_GROUPS, search, DOMAIN_FLAGS, output(JSON_FLAG)];
    },
    run: async (args, io) => (await import('./explain.ts')).explainVerb(args, io),
    examples: [
      'attest explain --measurement "$M" --api-major 1 --api-minor 55 --build-id 21 --policy 1 --firmware OVMF.fd --tik web_tik.bin',
    ],
    exit: 'Exit codes: 0 it matches as given, 1 it does not, 2 the environment, 3 usage.',
  },
  {
    name: 'policy',
    summary: 'say a policy in words',
    word: '[POLICY]',
    groups: async () => [
      {
        title: 'The policy',
        flags: [
          { name: 'policy', value: 'P', help: 'the same as the word' },
          { name: 'snp', help: 'a SEV-SNP policy of 64 bits' },
        ],
      },
      output(JSON_FLAG),
    ],
    run: async (args, io) => (await import('./policy.ts')).policyVerb(args, io),
    examples: ['attest policy 0x0033'],
    exit: 'Exit codes: 0 a guest can be launched with it, 1 no firmware takes it, 3 usage.',
  },
  {
    name: 'fetch-roots',
    summary: "download AMD's root and signing key; the only verb that uses the network",
    groups: async () => [
      {
        title: 'What to fetch',
        flags: [
          { name: 'product', value: 'NAME', help: 'naples, rome, milan, genoa or turin' },
          { name: 'chip-id', value: 'ID', help: 'also the CEK of this chip (GET_ID, in hex or base64), signed by AMD' },
          { name: 'out', value: 'DIR', help: 'folder to write to (default $XDG_CACHE_HOME/sev-harness)' },
          { name: 'refresh', help: 'download again what is there' },
        ],
      },
      output(JSON_FLAG),
    ],
    run: async (args, io) => (await import('./fetch-roots.ts')).fetchRootsVerb(args, io),
    examples: ['attest fetch-roots --product milan'],
    exit: 'Exit codes: 0 written, 1 the download is not what AMD published, 2 the network or the folder, 3 usage.',
  },
];

/** Runs `attest` with the words behind it, and returns the exit code. Throws what the verb throws. */
export async function attestCommand(words: readonly string[], io: AttestIo): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || isHelp(name)) {
    (name === undefined ? io.err : io.out)(overview());
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  const verb = VERBS.find((candidate) => candidate.name === name);
  if (verb === undefined) {
    const verbs = VERBS.map((candidate) => candidate.name).join(', ');
    throw usageError(`unknown verb 'attest ${clip(name)}'`, `Verbs: ${verbs}.`);
  }
  if (rest.some(isHelp)) {
    io.out(await help(verb));
    return EXIT.ok;
  }
  return verb.run(parseFlags(rest, await verb.groups(), verb.word === undefined ? 0 : 1), io);
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

function overview(): string {
  const width = Math.max(...VERBS.map(({ name }) => name.length));
  return [
    'Usage: sev-harness attest <verb> [flags]',
    '',
    'Attests SEV and SEV-ES guests, offline: certificate chain, launch session, measurement, secret.',
    '',
    ...VERBS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Examples:',
    ...VERBS.map(({ examples }) => `  npm run attest -- ${examples[0]?.replace(/^attest /, '')}`),
    '',
    'Exit codes: 0 as it should be, 1 it is not, 2 the environment, 3 usage; each verb has --help.',
    '',
  ].join('\n');
}

async function help({ name, summary, word, groups, examples, exit }: Verb): Promise<string> {
  return [
    `Usage: sev-harness attest ${name} ${word === undefined ? '' : `${word} `}[flags]`,
    '',
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    '',
    describeFlags(await groups()),
    '',
    'Examples:',
    ...examples.map((example) => `  npm run attest -- ${example.replace(/^attest /, '')}`),
    '',
    exit,
    '',
  ].join('\n');
}
