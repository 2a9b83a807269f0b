import { attribute, child } from '../domain.ts';
import type { Problem, Rule, RuleContext } from '../rule.ts';
import { type Quote, SENTENCE } from '../sources.ts';
import { appendChild, removeElement, setAttribute } from '../xml-edit.ts';
import type { XmlElement } from '../xml-reader.ts';
import { isSev, isSnp } from './policy-value.ts';

const EXTRA_BYTES = 256n << 20n;
const VMCOREINFO: Quote = {
  document: 'nova',
  text: 'bug 2117170: vmcoreinfo uses DMA, and the kernel of an SEV guest crashes',
};

const NO_DISCARD: Quote = {
  document: 'QEMU',
  text: 'target/i386/sev.c, SEV and SEV-ES rely on pinned memory, so it switches off the discarding that virtio-mem requires',
};

/** libvirt's units (formatdomain, memory): `K` and `KiB` count in 1024, `KB` in 1000, in any case of letters. */
const UNIT_BYTES: ReadonlyMap<string, bigint> = new Map([
  ['b', 1n],
  ['bytes', 1n],
  ...['k', 'm', 'g', 't', 'p', 'e'].flatMap((letter, index): [string, bigint][] => {
    const [binary, decimal] = [1024n ** BigInt(index + 1), 1000n ** BigInt(index + 1)];
    return [
      [letter, binary],
      [`${letter}ib`, binary],
      [`${letter}b`, decimal],
    ];
  }),
]);

export const memoryRules: readonly Rule[] = [
  {
    id: 'MEMORY-NOT-LOCKED',
    promise:
      '<memoryBacking> has <locked/> (modern: or <memtune> has a sufficient <hard_limit>; SEV-SNP needs neither)',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.locked, SENTENCE.pinned],
    check: memoryNotLocked,
  },
  {
    id: 'VMCOREINFO-PRESENT',
    promise: 'the guest has no vmcoreinfo device',
    severity: { train: 'warning', modern: 'warning' },
    sources: [VMCOREINFO],
    *check({ domain }) {
      const device = child(child(domain.root, 'features'), 'vmcoreinfo');
      if (domain.launchSecurity === undefined || device === undefined || attribute(device, 'state') === 'off') return;
      yield {
        at: device,
        message: 'the vmcoreinfo device crashes kernels of SEV guests',
        suggestion: 'no <vmcoreinfo/>',
        edits: [removeElement(domain.document, device)],
      };
    },
  },
  {
    id: 'BALLOON-RECLAIM-WITH-PINNED-RAM',
    promise: 'the balloon reclaims nothing, because the memory of the guest is pinned',
    severity: { train: 'warning', modern: 'warning' },
    sources: [SENTENCE.pinned],
    *check({ domain }) {
      if (domain.launchSecurity === undefined) return;
      for (const balloon of domain.devices) {
        if (balloon.name !== 'memballoon') continue;
        const reclaiming = ['autodeflate', 'freePageReporting'].filter((name) => attribute(balloon, name) === 'on');
        if (reclaiming.length === 0) continue;
        yield {
          at: balloon,
          message: `${reclaiming.join(' and ')} can give nothing back: the guest's memory is pinned`,
          suggestion: reclaiming.map((name) => `${name}='off'`).join(' '),
          edits: reclaiming.map((name) => setAttribute(domain.document, balloon, name, 'off')),
        };
      }
    },
  },
  {
    id: 'VIRTIO-MEM-WITH-PINNED-RAM',
    promise: 'a guest of SEV or SEV-ES has no virtio-mem device',
    severity: { modern: 'error' },
    sources: [NO_DISCARD],
    *check({ domain }) {
      if (!isSev(domain)) return;
      for (const memory of domain.devices) {
        if (memory.name !== 'memory' || attribute(memory, 'model') !== 'virtio-mem') continue;
        yield {
          at: memory,
          message: "virtio-mem gives memory back, and the guest's is pinned: QEMU refuses the device",
          suggestion: "no virtio-mem, or a <memory model='dimm'>",
        };
      }
    },
  },
];

function* memoryNotLocked({ domain, profile }: RuleContext): Iterable<Problem> {
  const { document, root } = domain;
  const backing = child(root, 'memoryBacking');
  if (domain.launchSecurity === undefined || child(backing, 'locked') !== undefined) return;
  if (profile === 'modern' && isSnp(domain)) return;
  const edits =
    backing === undefined
      ? [appendChild(document, root, ['<memoryBacking>', '  <locked/>', '</memoryBacking>'])]
      : [appendChild(document, backing, ['<locked/>'])];
  const limit = child(child(root, 'memtune'), 'hard_limit');
  if (profile === 'modern' && limit !== undefined) {
    yield* judgeHardLimit(limit, child(root, 'memory'), edits);
    return;
  }
  yield {
    at: backing ?? root,
    message: 'memory may be swapped or moved: there is no <locked/>',
    suggestion: '<memoryBacking><locked/></memoryBacking>',
    edits,
  };
}

/** The article's other way: a limit that holds the guest's memory and what QEMU allocates besides. */
function* judgeHardLimit(
  limit: XmlElement,
  memory: XmlElement | undefined,
  edits: NonNullable<Problem['edits']>,
): Iterable<Problem> {
  const [limitBytes, memoryBytes] = [bytesOf(limit), bytesOf(memory)];
  if (limitBytes === undefined || memoryBytes === undefined) {
    yield {
      at: limit,
      message: `whether <hard_limit> holds the guest's memory cannot be told: <${limitBytes === undefined ? 'hard_limit' : 'memory'}> is no amount of memory that libvirt reads`,
      suggestion: 'a number and one of its units, or <memoryBacking><locked/></memoryBacking>',
      source: SENTENCE.hardLimit,
    };
    return;
  }
  if (limitBytes >= memoryBytes + EXTRA_BYTES) return;
  const isTooSmall = limitBytes <= memoryBytes;
  yield {
    at: limit,
    message: isTooSmall
      ? `<hard_limit> (${mib(limitBytes)}) does not even hold the guest's memory (${mib(memoryBytes)})`
      : `<hard_limit> leaves QEMU ${mib(limitBytes - memoryBytes)} besides the guest's memory; it may be killed`,
    suggestion: `at least ${mib(memoryBytes + EXTRA_BYTES)}, or <memoryBacking><locked/></memoryBacking>`,
    edits,
    severity: isTooSmall ? 'error' : 'warning',
    source: SENTENCE.hardLimit,
  };
}

function bytesOf(element: XmlElement | undefined): bigint | undefined {
  if (element === undefined || !/^[0-9]{1,19}$/.test(element.text)) return undefined;
  const unit = UNIT_BYTES.get((attribute(element, 'unit') ?? 'KiB').toLowerCase());
  return unit === undefined ? undefined : BigInt(element.text) * unit;
}

function mib(bytes: bigint): string {
  return `${bytes >> 20n} MiB`;
}
