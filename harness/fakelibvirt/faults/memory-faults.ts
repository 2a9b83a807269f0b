import { MEMORY_FAULTS as MEMORY } from '../memory/faults.ts';
import type { FaultEntry } from './catalogue.ts';

const SCENARIO = 'memory-encryption';
/** One way of reading shows private pages in clear: the others still give ciphertext. */
const ONE_WAY_LEAKS = [{ scenario: SCENARIO, checks: ['private-pages-hide', 'routes-agree'] }] as const;
const LEFT_OVER = [{ scenario: SCENARIO, checks: ['nothing-left-over'] }] as const;

/** Faults of encrypted memory, and of the ways in which a host reads memory. */
export const MEMORY_READING_FAULTS = {
  'memory-in-clear': {
    breaks: MEMORY['memory-in-clear'],
    expected: [
      { scenario: 'launch-secret', checks: ['hidden'] },
      { scenario: 'ksm', checks: ['sev-guests-stay-apart'] },
      {
        scenario: SCENARIO,
        checks: ['private-pages-hide', 'private-looks-random', 'addresses-differ', 'guests-differ'],
      },
    ],
  },
  'memory-masked': {
    breaks: MEMORY['memory-masked'],
    expected: [
      { scenario: 'ksm', checks: ['sev-guests-stay-apart'] },
      { scenario: SCENARIO, checks: ['private-looks-random', 'addresses-differ', 'guests-differ'] },
    ],
  },
  'memory-without-tweak': {
    breaks: MEMORY['memory-without-tweak'],
    expected: [{ scenario: SCENARIO, checks: ['private-looks-random', 'addresses-differ'] }],
  },
  'memory-key-shared': {
    breaks: MEMORY['memory-key-shared'],
    expected: [{ scenario: SCENARIO, checks: ['guests-differ'] }],
  },
  'memory-key-survives': { breaks: MEMORY['memory-key-survives'], expected: LEFT_OVER },
  'freed-memory-survives': { breaks: MEMORY['freed-memory-survives'], expected: LEFT_OVER },
  'shared-page-encrypted': {
    breaks: MEMORY['shared-page-encrypted'],
    expected: [{ scenario: SCENARIO, checks: ['shared-pages-show'] }],
  },
  'memory-reads-zero': {
    breaks: 'reading the memory of a guest without encryption gives zeros',
    expected: [{ scenario: SCENARIO, checks: ['plain-guest-shows'] }],
  },
  'plain-guest-scrambled': {
    breaks: 'what a host reads of a guest without encryption is scrambled',
    expected: [{ scenario: SCENARIO, checks: ['plain-guest-shows'] }],
  },
  'peek-in-clear': {
    breaks: "libvirt's memory peek shows private pages in clear",
    expected: [{ scenario: 'launch-secret', checks: ['hidden'] }, ...ONE_WAY_LEAKS],
  },
  'pmemsave-in-clear': {
    breaks: "QEMU's pmemsave writes private pages in clear",
    expected: ONE_WAY_LEAKS,
  },
  'dump-in-clear': {
    breaks: 'a core dump has private pages in clear',
    expected: ONE_WAY_LEAKS,
  },
  'process-memory-in-clear': {
    breaks: "the memory of the QEMU process holds a copy of the guest's private pages in clear",
    expected: [
      {
        scenario: SCENARIO,
        checks: ['private-pages-hide', 'routes-agree', 'private-looks-random', 'addresses-differ', 'guests-differ'],
      },
    ],
  },
  'pmemsave-empty': {
    breaks: 'pmemsave reports success and writes zeros',
    expected: [{ scenario: SCENARIO, checks: ['plain-guest-shows', 'routes-agree', 'shared-pages-show'] }],
  },
} as const satisfies Readonly<Record<string, FaultEntry>>;
