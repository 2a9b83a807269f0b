import type { LaunchDigest } from '../../../attestation/brands.ts';
import { encodeCpuSignature } from '../../../attestation/measurement/cpu-signature.ts';
import { computeLaunchDigest, type LaunchInputs, type Vcpus } from '../../../attestation/measurement/digest.ts';
import { computeKernelHashes, type KernelFiles } from '../../../attestation/measurement/kernel-hashes.ts';
import type { VmsaForm } from '../../../attestation/measurement/vmsa.ts';
import { type Arguments, clip, type FlagGroup, usageError } from './flags.ts';
import { type InputReader, naming } from './read.ts';

export const GUEST_FLAGS: FlagGroup = {
  title: 'What was to be started',
  flags: [
    {
      name: 'firmware',
      short: 'f',
      value: 'FILE',
      help: 'guest firmware: OVMF.fd or OVMF_CODE.fd, never the VARS file',
    },
    { name: 'kernel', short: 'k', value: 'FILE', help: 'kernel of a guest with kernel-hashes=on' },
    { name: 'initrd', short: 'r', value: 'FILE', help: 'its initrd' },
    { name: 'cmdline', short: 'e', value: 'TEXT', help: 'its command line' },
    { name: 'num-cpus', short: 'n', value: 'N', help: 'SEV-ES: number of vCPUs' },
    { name: 'cpu-family', value: 'N', help: 'SEV-ES: family of the CPU, e.g. 25' },
    { name: 'cpu-model', value: 'N', help: 'SEV-ES: model of the CPU, e.g. 1' },
    { name: 'cpu-stepping', value: 'N', help: 'SEV-ES: stepping of the CPU, e.g. 1' },
    { name: 'vmsa-cpu0', short: '0', value: 'FILE', help: 'SEV-ES: VMSA page of the boot vCPU, instead of a CPU' },
    { name: 'vmsa-cpu1', short: '1', value: 'FILE', help: 'SEV-ES: VMSA page of all other vCPUs' },
    { name: 'vmsa-form', value: 'FORM', help: 'SEV-ES: legacy (default), or init2 for KVM_SEV_INIT2' },
  ],
};

const CPU_FLAGS = ['cpu-family', 'cpu-model', 'cpu-stepping'] as const;
const VMSA_FLAGS = ['vmsa-cpu0', 'vmsa-cpu1'] as const;
const ES_FLAGS = ['num-cpus', ...CPU_FLAGS, ...VMSA_FLAGS, 'vmsa-form'] as const;
const POLICY_ES = 0x4;
const MAX_VCPUS = 4096;

/** What the host says where the owner said nothing; each is only asked for then, and may refuse. */
export interface HostGuess {
  readonly firmware?: () => string;
  readonly kernel?: () => string | undefined;
  readonly initrd?: () => string | undefined;
  readonly cmdline?: () => string | undefined;
  readonly vcpus?: () => number;
  readonly cpu?: () => { readonly family: number; readonly model: number; readonly stepping: number };
}

/** Everything that the launch digest covers, as files. */
export interface GuestFiles {
  readonly guestFirmware: Uint8Array;
  readonly kernel?: KernelFiles;
  readonly vcpus?: Vcpus;
}

/** Without a policy, the flags decide whether the guest has SEV-ES. */
export function readGuest(
  args: Arguments,
  read: InputReader,
  policy: number | undefined,
  warn: (text: string) => void,
  host: HostGuess = {},
): GuestFiles {
  const kernel = readKernel(args, read, host);
  const firmware = args.text('firmware') ?? host.firmware?.() ?? args.required('firmware');
  const esFlags = ES_FLAGS.filter((name) => args.has(name));
  const isEs = policy === undefined ? esFlags.length > 0 : (policy & POLICY_ES) !== 0;
  if (!isEs && esFlags.length > 0) {
    warn(`--${esFlags.join(', --')} changed nothing: the policy asks for no SEV-ES, so no vCPU is measured`);
  }
  const vcpus = isEs ? readVcpus(args, read, host) : undefined;
  return {
    guestFirmware: read.image('--firmware', firmware),
    ...(kernel === undefined ? {} : { kernel }),
    ...(vcpus === undefined ? {} : { vcpus }),
  };
}

export function digestOf(guest: GuestFiles, firmwarePath: string): LaunchDigest {
  const inputs: LaunchInputs = {
    guestFirmware: guest.guestFirmware,
    ...(guest.kernel === undefined ? {} : { kernelHashes: computeKernelHashes(guest.kernel) }),
    ...(guest.vcpus === undefined ? {} : { vcpus: guest.vcpus }),
  };
  return naming('--firmware', firmwarePath, () => computeLaunchDigest(inputs));
}

function readKernel(args: Arguments, read: InputReader, host: HostGuess): KernelFiles | undefined {
  const kernel = args.text('kernel') ?? host.kernel?.();
  const initrd = args.text('initrd') ?? host.initrd?.();
  const cmdline = args.text('cmdline') ?? host.cmdline?.();
  if (kernel === undefined) {
    const orphan = ['initrd', 'cmdline'].find((name) => args.has(name));
    if (orphan !== undefined) throw usageError(`--${orphan} needs --kernel`);
    return undefined;
  }
  return {
    kernel: read.image('--kernel', kernel),
    ...(initrd === undefined ? {} : { initrd: read.image('--initrd', initrd) }),
    ...(cmdline === undefined ? {} : { cmdline }),
  };
}

function readVcpus(args: Arguments, read: InputReader, host: HostGuess): Vcpus {
  const given = CPU_FLAGS.filter((name) => args.has(name));
  const [bsp, ap] = [args.text('vmsa-cpu0'), args.text('vmsa-cpu1')];
  const absent = CPU_FLAGS.filter((name) => !args.has(name));
  if (given.length > 0 && absent.length > 0) throw usageError(`--${given[0]} needs --${absent.join(' and --')} too`);
  if (given.length > 0 && (bsp ?? ap) !== undefined) throw usageError('give VMSA pages or a CPU, not both');
  if (ap !== undefined && bsp === undefined) throw usageError('--vmsa-cpu1 needs --vmsa-cpu0 too');
  const form = readForm(args);
  const count = args.integer('num-cpus', 1, MAX_VCPUS) ?? host.vcpus?.() ?? undefined;
  if (count === undefined) throw usageError('--num-cpus is required: SEV-ES measures each vCPU');
  if (bsp !== undefined) {
    if (args.has('vmsa-form')) throw usageError('--vmsa-form is for pages that are built, not for given ones');
    const pages = { bsp: read.image('--vmsa-cpu0', bsp), ...(ap && { ap: read.image('--vmsa-cpu1', ap) }) };
    return { kind: 'given', count, ...pages };
  }
  return { kind: 'built', count, form, cpuSignature: encodeCpuSignature(readCpu(args, host)) };
}

function readCpu(args: Arguments, host: HostGuess) {
  const [family, model, stepping] = [
    args.integer('cpu-family', 0, 270),
    args.integer('cpu-model', 0, 255),
    args.integer('cpu-stepping', 0, 15),
  ];
  if (family !== undefined && model !== undefined && stepping !== undefined) return { family, model, stepping };
  const guessed = host.cpu?.();
  if (guessed !== undefined) return guessed;
  throw usageError(
    'SEV-ES needs --cpu-family, --cpu-model and --cpu-stepping, or --vmsa-cpu0 and --vmsa-cpu1',
    'For QEMU it is the signature of its CPU model: EPYC-Rome is 23/49/0, EPYC-Milan 25/1/1, EPYC-Genoa 25/17/0.',
  );
}

function readForm(args: Arguments): VmsaForm {
  const form = args.text('vmsa-form') ?? 'legacy';
  if (form === 'legacy' || form === 'init2') return form;
  throw usageError(`--vmsa-form: expected legacy or init2, got '${clip(form)}'`);
}
