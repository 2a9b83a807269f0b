import { createHash } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import { formatCpuSignature, KNOWN_CPUS } from '../measurement/cpu-signature.ts';
import { DEBUG_SWAP, decodeVmsa, type VmsaForm } from '../measurement/vmsa.ts';
import { SEV_POLICY_FLAGS } from '../policy/sev.ts';
import { type Change, changeGuest, changeKernel, changeVcpus } from './changes.ts';
import type { Hypothesis, Image, KernelGuess, VcpuGuess } from './hypothesis.ts';

export const MAX_TRIED_VCPUS = 256;
const POLICY_ES = 1 << SEV_POLICY_FLAGS.ES.bit;

/** Sizes of variable store and code in the combined images that edk2 builds: 2 MiB and 4 MiB. */
const COMBINED_LAYOUTS = [
  { vars: 0x2_0000, code: 0x1e_0000 },
  { vars: 0x8_4000, code: 0x37_c000 },
] as const;

/** Everything that could differ in what the launch digest covers. */
export function guestChanges(base: Hypothesis, alternates: readonly Image[]): Change[] {
  if ('digest' in base.guest) return [];
  const { image, kernel, vcpus } = base.guest;
  return [
    ...imageChanges(image, alternates),
    ...(kernel === undefined ? [] : kernelChanges(kernel)),
    ...(vcpus === undefined ? sevEsChanges(base) : vcpuChanges(base, vcpus)),
  ];
}

function imageChanges(given: Image, alternates: readonly Image[]): Change[] {
  const joined = alternates.flatMap((vars) =>
    COMBINED_LAYOUTS.some((layout) => layout.vars === vars.bytes.length && layout.code === given.bytes.length)
      ? [{ name: `${vars.name} followed by ${given.name}`, bytes: concatBytes(vars.bytes, given.bytes) }]
      : [],
  );
  return [...alternates, ...joined, ...[given, ...alternates].flatMap(codePart)].map((image) => ({
    dimension: 'guest-firmware',
    breadth: 'common',
    words: `the guest firmware is ${image.name} (${image.bytes.length} bytes), not ${given.name} (${given.bytes.length} bytes)`,
    given: given.name,
    fits: image.name,
    apply: (hypothesis) => changeGuest(hypothesis, (guest) => ({ ...guest, image })),
  }));
}

function codePart({ name, bytes }: Image): Image[] {
  const layout = COMBINED_LAYOUTS.find(({ vars, code }) => vars + code === bytes.length);
  if (layout === undefined) return [];
  return [{ name: `the code part of ${name}, without its variable store`, bytes: bytes.subarray(layout.vars) }];
}

function kernelChanges(given: KernelGuess): Change[] {
  const changes: Change[] = [
    {
      dimension: 'kernel-hashes',
      breadth: 'common',
      words: 'the guest was started without kernel-hashes',
      given: 'kernel hashes measured',
      fits: 'no kernel hashes measured',
      apply: (hypothesis) => changeGuest(hypothesis, (guest) => guest.kernel && { ...guest, kernel: undefined }),
    },
    {
      dimension: 'kernel-hashes',
      breadth: 'common',
      words: 'the kernel hashes table was measured without its 8 bytes of padding',
      given: 'table of 176 bytes',
      fits: 'table of 168 bytes',
      apply: (hypothesis) => changeKernel(hypothesis, (kernel) => ({ ...kernel, padded: false })),
    },
  ];
  const emptyInitrd = new Uint8Array(createHash('sha256').digest());
  if (!Buffer.from(emptyInitrd).equals(given.initrdSha256)) {
    changes.push({
      dimension: 'initrd',
      breadth: 'common',
      words: 'the guest was started without an initrd',
      given: 'an initrd',
      fits: 'no initrd',
      apply: (hypothesis) => changeKernel(hypothesis, (kernel) => ({ ...kernel, initrdSha256: emptyInitrd })),
    });
  }
  return [...changes, ...cmdlineChanges(Buffer.from(given.cmdline).toString('utf8').slice(0, -1))];
}

function cmdlineChanges(text: string): Change[] {
  const variants = new Map<string, string>([[`${text}\0`, '']]);
  const add = (measured: string, words: string) => variants.has(measured) || variants.set(measured, words);
  add(text, 'the command line was measured without its terminating NUL');
  add(`${text}\n\0`, 'the command line ends with a newline');
  add(`${text}\n`, 'the command line was measured with a newline in the place of its NUL');
  add(`${text}\0\0`, 'the command line was measured with two NULs');
  add(`${text} \0`, 'the command line ends with a space');
  add(` ${text}\0`, 'the command line begins with a space');
  add(`${text.trim()}\0`, 'the command line has no white space at its ends');
  add(`${text.replace(/^"(.*)"$/s, '$1')}\0`, 'the command line has no quotes around it');
  add('\0', 'the command line is empty');
  return [...variants].slice(1).map(([measured, words]) => ({
    dimension: 'cmdline',
    breadth: 'common',
    words,
    given: `${text}\0`,
    fits: measured,
    apply: (hypothesis) => changeKernel(hypothesis, (kernel) => ({ ...kernel, cmdline: Buffer.from(measured) })),
  }));
}

function vcpuChanges(base: Hypothesis, given: VcpuGuess): Change[] {
  return [...notSevEs(base, given), ...countChanges(given), ...pageChanges(given), ...orderChanges(given)];
}

function notSevEs(base: Hypothesis, given: VcpuGuess): Change[] {
  const withoutVcpus = (hypothesis: Hypothesis) =>
    changeGuest(hypothesis, (guest) => guest.vcpus && { ...guest, vcpus: undefined });
  const shared = {
    dimension: 'sev-es',
    given: `SEV-ES with ${given.count} vCPUs`,
    fits: 'SEV, no vCPU measured',
  } as const;
  const plain: Change = { ...shared, breadth: 'common', words: 'no VMSA page was measured', apply: withoutVcpus };
  if ((base.policy & POLICY_ES) === 0) return [plain];
  const words = 'the guest is a SEV guest: policy without the ES bit, and no VMSA page measured';
  const apply = (hypothesis: Hypothesis) =>
    withoutVcpus({ ...hypothesis, policy: (hypothesis.policy & ~POLICY_ES) >>> 0 });
  return [plain, { ...shared, breadth: 'alone', words, apply }];
}

function countChanges(given: VcpuGuess): Change[] {
  return counts()
    .filter((count) => count !== given.count)
    .map((count) => ({
      dimension: 'vcpu-count',
      breadth: 'common',
      words: `the guest has ${plural(count)}, not ${given.count}`,
      given: given.count,
      fits: count,
      apply: (hypothesis) => changeVcpus(hypothesis, (vcpus) => ({ ...vcpus, count })),
    }));
}

function pageChanges(given: VcpuGuess): Change[] {
  const now = describe(given);
  const signatures = KNOWN_CPUS.filter(({ signature }) => signature !== now.cpuSignature).map(
    ({ signature }): Change => ({
      dimension: 'cpu-signature',
      breadth: 'common',
      words: `the CPU signature is ${formatCpuSignature(signature)}, not ${formatCpuSignature(now.cpuSignature)}`,
      given: formatCpuSignature(now.cpuSignature),
      fits: formatCpuSignature(signature),
      apply: patching({ cpuSignature: signature }),
    }),
  );
  const forms = (['legacy', 'init2'] as const)
    .filter((form) => form !== now.form)
    .map(
      (form): Change => ({
        dimension: 'vmsa-form',
        breadth: 'common',
        words: `the VMSA pages are in the ${formWords(form)} form`,
        given: now.form,
        fits: form,
        apply: patching({ form }),
      }),
    );
  const features = [...new Set([now.sevFeatures ^ DEBUG_SWAP, 0, DEBUG_SWAP])]
    .filter((sevFeatures) => sevFeatures !== now.sevFeatures)
    .map(
      (sevFeatures): Change => ({
        dimension: 'sev-features',
        breadth: 'common',
        words: `SEV_FEATURES is 0x${sevFeatures.toString(16)}${sevFeatures & DEBUG_SWAP ? ' (debug-swap)' : ''}, not 0x${now.sevFeatures.toString(16)}`,
        given: now.sevFeatures,
        fits: sevFeatures,
        apply: patching({ sevFeatures }),
      }),
    );
  return [...signatures, ...forms, ...features];
}

function patching(patch: VcpuGuess['patch']): Change['apply'] {
  return (hypothesis) => changeVcpus(hypothesis, (vcpus) => ({ ...vcpus, patch: { ...vcpus.patch, ...patch } }));
}

function orderChanges(given: VcpuGuess): Change[] {
  const orders = [
    ['swapped', 'the pages of the boot vCPU and of the other vCPUs are swapped'],
    ['bsp-for-all', 'the page of the boot vCPU was measured for each vCPU'],
  ] as const;
  const changes = orders.map(
    ([order, words]): Change => ({
      dimension: 'vcpu-order',
      breadth: 'common',
      words,
      given: given.order,
      fits: order,
      apply: (hypothesis) => changeVcpus(hypothesis, (vcpus) => ({ ...vcpus, order })),
    }),
  );
  if (!('bsp' in given.pages)) return changes;
  const reset: Change = {
    dimension: 'vcpu-reset',
    breadth: 'common',
    words: 'the second and later vCPUs start where this guest firmware says, not where the given page says',
    given: 'page of the second vCPU as given',
    fits: 'reset vector of the guest firmware',
    apply: (hypothesis) => changeVcpus(hypothesis, (vcpus) => ({ ...vcpus, resetFromImage: true })),
  };
  return [...changes, reset];
}

/** No vCPU was described: the guest may be a SEV-ES guest all the same. */
function sevEsChanges(base: Hypothesis): Change[] {
  const hasBit = (base.policy & POLICY_ES) !== 0;
  return KNOWN_CPUS.flatMap(({ signature }) =>
    (['legacy', 'init2'] as const).flatMap((form) =>
      counts().map((count): Change => {
        const vcpus: VcpuGuess = {
          count,
          pages: { cpuSignature: signature, form },
          patch: {},
          order: 'bsp-first',
          resetFromImage: true,
        };
        const what = `${plural(count)}, CPU signature ${formatCpuSignature(signature)} and VMSA pages in the ${formWords(form)} form`;
        return {
          dimension: 'sev-es',
          breadth: 'alone',
          words: `the guest is a SEV-ES guest${hasBit ? '' : ', with the ES bit in its policy,'} with ${what}`,
          given: 'SEV, no vCPU measured',
          fits: { count, cpuSignature: formatCpuSignature(signature), form },
          apply: (hypothesis) =>
            changeGuest({ ...hypothesis, policy: (hypothesis.policy | POLICY_ES) >>> 0 }, (guest) => ({
              ...guest,
              vcpus,
            })),
        };
      }),
    ),
  );
}

/** What the pages of a guess say now. */
function describe({ pages }: VcpuGuess): { cpuSignature: number; form: VmsaForm; sevFeatures: number } {
  if (!('bsp' in pages)) {
    return { cpuSignature: pages.cpuSignature, form: pages.form, sevFeatures: pages.sevFeatures ?? 0 };
  }
  const { registers } = decodeVmsa(pages.bsp);
  return {
    cpuSignature: Number(registers.rdx & 0xffff_ffffn),
    form: registers.mxcsr === 0n ? 'legacy' : 'init2',
    sevFeatures: Number(registers.sev_features & 0xffff_ffffn),
  };
}

function counts(): number[] {
  return Array.from({ length: MAX_TRIED_VCPUS }, (_, index) => index + 1);
}

function plural(count: number): string {
  return count === 1 ? '1 vCPU' : `${count} vCPUs`;
}

function formWords(form: VmsaForm): string {
  return form === 'legacy'
    ? 'legacy (KVM_SEV_ES_INIT, MXCSR 0, FCW 0)'
    : 'INIT2 (KVM_SEV_INIT2, MXCSR 0x1f80, FCW 0x37f)';
}
