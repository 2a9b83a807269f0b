import type { Check } from '../../../attestation/result.ts';
import { equalBytes, fromBase64 } from '../../../core/bytes.ts';
import type { DomainState } from '../../libvirt/index.ts';
import type { DomainFacts, HostLaunch } from './domain-facts.ts';
import type { Arguments } from './flags.ts';

export interface SeenDomain {
  readonly name: string;
  readonly state: DomainState;
  readonly facts: DomainFacts;
  readonly launch: HostLaunch;
}

interface Rule {
  readonly id: string;
  readonly title: string;
  readonly spec: string;
  /** `--insecure` goes on in spite of it. */
  readonly waivable?: true;
  /** Why it does not hold, and what to do. */
  readonly broken: (seen: SeenDomain, args: Arguments) => { because: string; hint: string } | undefined;
}

const LIBVIRT = 'libvirt, "Launch security with AMD SEV"';

/** What must hold before a measurement of a domain means anything. */
const RULES: readonly Rule[] = [
  {
    id: 'domain.is-sev',
    title: 'the domain is a SEV guest with a launch measurement',
    spec: 'libvirt domain XML, launchSecurity',
    broken: ({ facts }) => {
      if (facts.launchSecurity === 'sev') return undefined;
      if (facts.launchSecurity === 'sev-snp') {
        return {
          because: 'it is a SEV-SNP guest, which has no launch measurement to ask the host for',
          hint: 'A SEV-SNP guest asks for its attestation report itself, from inside.',
        };
      }
      return {
        because: facts.launchSecurity === undefined ? 'it has no <launchSecurity>' : `it is ${facts.launchSecurity}`,
        hint: "Define it with <launchSecurity type='sev'>.",
      };
    },
  },
  {
    id: 'domain.is-paused',
    title: 'the domain is paused: it has not run since it was measured',
    spec: LIBVIRT,
    waivable: true,
    broken: ({ state, name }) =>
      state === 'paused'
        ? undefined
        : {
            because: `it is ${state}; a guest that runs can have been changed, and takes no secret`,
            hint: `Start it with \`virsh start --paused ${name}\`.`,
          },
  },
  {
    id: 'domain.no-nvram',
    title: 'the guest firmware keeps no variables in NVRAM, which is not measured',
    spec: LIBVIRT,
    waivable: true,
    broken: ({ facts }) =>
      facts.hasNvram
        ? {
            because: 'it has <nvram>: the host can change what the firmware does without changing the measurement',
            hint: "Use a stateless firmware: <loader stateless='yes' type='rom'> or an AmdSev build, without <nvram>.",
          }
        : undefined,
  },
  {
    id: 'domain.has-loader',
    title: 'the domain names its guest firmware',
    spec: 'libvirt domain XML, os/loader',
    broken: ({ facts }) =>
      facts.loader === undefined
        ? { because: 'it has no <loader>', hint: 'A SEV guest needs OVMF: name it in <loader>.' }
        : undefined,
  },
  {
    id: 'domain.has-session',
    title: "the domain was started with an owner's session",
    spec: LIBVIRT,
    broken: ({ facts }) => {
      if (facts.dhCert !== undefined && facts.session !== undefined) return undefined;
      const missing = [facts.dhCert ?? '<dhCert>', facts.session ?? '<session>'].filter((part) => part.startsWith('<'));
      return {
        because: `it has no ${missing.join(' and no ')}, so its TIK is known to everyone`,
        hint: 'Make a session with `sev-harness attest session` and put it into <launchSecurity>.',
      };
    },
  },
  {
    id: 'domain.kernel-measured',
    title: 'a kernel that is booted directly is measured',
    spec: 'libvirt domain XML, launchSecurity@kernelHashes',
    waivable: true,
    broken: ({ facts }, args) => {
      const direct = [facts.kernel, facts.initrd, facts.cmdline].some((part) => part !== undefined);
      if (direct && !facts.kernelHashes) {
        return {
          because: 'it boots a kernel directly without kernelHashes, so the host can boot any kernel',
          hint: "Add kernelHashes='yes' to <launchSecurity>, and use an AmdSev build of OVMF.",
        };
      }
      if (!direct && facts.kernelHashes) {
        return {
          because: 'kernelHashes is on, and there is no <kernel>',
          hint: 'Name kernel, initrd and command line, or leave out kernelHashes.',
        };
      }
      return args.has('kernel') && !facts.kernelHashes
        ? { because: '--kernel was given, and the domain measures none', hint: 'Leave out --kernel.' }
        : undefined;
    },
  },
  {
    id: 'domain.measurement-read',
    title: 'libvirt gives the launch measurement',
    spec: 'libvirt, virDomainGetLaunchSecurityInfo',
    broken: ({ launch, name }, args) =>
      launch.measurement !== undefined || args.has('measurement')
        ? undefined
        : {
            because: launch.refusal === undefined ? 'there is no sev-measurement' : `libvirt says: ${launch.refusal}`,
            hint: `See what \`virsh domlaunchsecinfo ${name}\` says while the domain is paused.`,
          },
  },
  {
    id: 'domain.policy-as-stated',
    title: 'the host states the policy that --policy names',
    spec: 'SEV API 55766 rev 3.24, section 2.4',
    broken: ({ launch }, args) => {
      const stated = args.text('policy');
      if (stated === undefined || launch.policy === undefined || Number(stated) === launch.policy) return undefined;
      return {
        because: `the host says 0x${launch.policy.toString(16).padStart(4, '0')}, --policy is ${stated}`,
        hint: 'The host started another guest than yours, or you made the session for another policy.',
      };
    },
  },
];

/** What virt-qemu-sev-validate skips with the flag of that name. */
const CONFIG_ROWS = new Set(['domain.no-nvram', 'domain.has-loader', 'domain.has-session', 'domain.kernel-measured']);

/** The files that the owner made, where they were given. */
export interface OwnersSession {
  readonly session: Uint8Array | undefined;
  readonly godh: Uint8Array | undefined;
}

/** One row per rule. One that `--insecure` or `--ignore-config` waives is skipped, and says what it would have said. */
export function domainRows(seen: SeenDomain, args: Arguments, owned: OwnersSession): Check[] {
  const rows = RULES.map((rule): Check => {
    const { id, title, spec } = rule;
    const problem = rule.broken(seen, args);
    if (problem === undefined) return { id, title, spec, outcome: 'passed' };
    const waiver = args.has('ignore-config') && CONFIG_ROWS.has(id) ? '--ignore-config' : undefined;
    const waived = waiver ?? (rule.waivable && args.has('insecure') ? '--insecure' : undefined);
    if (waived === undefined) return { id, title, spec, outcome: 'failed', ...problem };
    return { id, title, spec, outcome: 'skipped', because: `${problem.because} (${waived} goes on all the same)` };
  });
  return [...rows, ownSessionRow(seen.facts, owned)];
}

function ownSessionRow(facts: DomainFacts, owned: OwnersSession): Check {
  const row = {
    id: 'domain.session-is-yours',
    title: 'the domain was started with the session files that were given',
    spec: 'libvirt domain XML, launchSecurity/session and dhCert',
  };
  const pairs = [
    { element: '<session>', ours: owned.session, theirs: facts.session },
    { element: '<dhCert>', ours: owned.godh, theirs: facts.dhCert },
  ].filter(({ ours }) => ours !== undefined);
  if (pairs.length === 0) return { ...row, outcome: 'skipped', because: 'neither --session nor --godh was given' };
  const wrong = pairs.filter(({ ours, theirs }) => !isSame(theirs, ours)).map(({ element }) => element);
  if (wrong.length === 0) return { ...row, outcome: 'passed' };
  return {
    ...row,
    outcome: 'failed',
    because: `its ${wrong.join(' and ')} ${wrong.length === 1 ? 'is' : 'are'} not what the files hold`,
    hint: 'Put NAME_session.b64 into <session> and NAME_godh.b64 into <dhCert>, unchanged.',
  };
}

/** libvirt takes white space in base64, and keeps it. */
function isSame(text: string | undefined, bytes: Uint8Array | undefined): boolean {
  const decoded = text === undefined ? undefined : fromBase64(text.replace(/\s+/g, ''));
  return decoded !== undefined && bytes !== undefined && equalBytes(decoded, bytes);
}
