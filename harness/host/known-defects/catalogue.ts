import { byBulletin, type Defect, firmwareFloor, is, onGenerations, onSnp, tested } from './defect.ts';
import { judgeCacheWarp, judgeEntrySign } from './microcode.ts';
import type { DefectReadings } from './readings.ts';

const NO_BIT = 'its bit is in attestation reports of SEV-SNP guests, and no such guest ran here';
/** Security version of the SNP firmware with the fix of CVE-2025-48514 (AMD-SB-3023). */
const ES_BESIDE_SNP = { Turin: 0x4, others: 0x1b };

function judgeEsBesideSnp({ generation, isSnpOn, tcb, tests }: DefectReadings) {
  if (!isSnpOn) return is('not affected', 'SEV-SNP is off on this host, and the attack needs it on');
  if (tests.esBesideSnp.passed !== undefined) return tested(tests.esBesideSnp, 'vulnerable');
  if ('because' in tcb) return is('unknown', `${tests.esBesideSnp.words}; ${tcb.because}`);
  const floor = generation?.startsWith('Turin') ? ES_BESIDE_SNP.Turin : ES_BESIDE_SNP.others;
  const versions = `security version ${tcb.snp} of the SNP firmware; fixed in ${floor}`;
  return is(tcb.snp >= floor ? 'fixed' : 'vulnerable', versions);
}

/** Public defects of SEV, SEV-ES and SEV-SNP, oldest first. None is left out because nobody can look for it. */
export const KNOWN_DEFECTS: readonly Defect[] = [
  {
    id: 'invalid-curve',
    names: 'CVE-2019-9836',
    breaks: "the platform's private PDH key can be computed",
    detection: 'test',
    judge: ({ tests }) => tested(tests.badPoints, 'vulnerable'),
  },
  {
    id: 'invalid-curve-version',
    names: 'CVE-2019-9836',
    breaks: 'the same; and keys made before the update stay compromised: make new PDH and PEK after it',
    detection: 'version',
    judge: onGenerations({ Naples: firmwareFloor(0, 17, 22) }, 'only Naples was'),
  },
  {
    id: 'no-integrity',
    names: 'SEVered, SEVurity',
    breaks: 'the host remaps and replays pages of SEV and SEV-ES guests',
    detection: 'none',
    judge: () => is('unseen', 'a property of SEV and SEV-ES: only SEV-SNP protects integrity'),
  },
  {
    id: 'digest-without-addresses',
    names: 'CVE-2020-12967, CVE-2021-26311 (AMD-SB-1004)',
    breaks: 'the launch digest of SEV and SEV-ES does not cover where content is loaded',
    detection: 'test',
    judge: ({ tests }) => tested(tests.addresses, 'exposed'),
  },
  {
    id: 'vmsa-and-tlb',
    names: 'CVE-2021-26312, CVE-2021-26320',
    breaks: 'state of SEV-ES and SEV-SNP guests',
    detection: 'version',
    judge: onSnp(byBulletin("AMD's bulletins for Milan")),
  },
  {
    id: 'ciphertext-side-channel',
    names: 'CVE-2020-12966, CVE-2021-46744 (AMD-SB-1033), CipherLeaks',
    breaks: 'the host sees when a page has the content that it had before',
    detection: 'test',
    judge: ({ tests, isCiphertextHidden }) => tested(tests.ciphertext, isCiphertextHidden ? 'vulnerable' : 'exposed'),
  },
  {
    id: 'attestation-checks',
    names: 'CVE-2021-26328 (AMD-SB-1032)',
    breaks: 'checks of attestation and of the interface',
    detection: 'version',
    judge: byBulletin('AMD-SB-1032, whose public fix is for Milan'),
  },
  {
    id: 'snp-input-checks',
    names: 'CVE-2023-20566, CVE-2023-20519 (AMD-SB-3002)',
    breaks: 'SEV-SNP firmware takes input that it should refuse',
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3002')),
  },
  {
    id: 'cachewarp',
    names: 'CVE-2023-20592 (AMD-SB-3005), CacheWarp',
    breaks: 'INVD takes back what a guest wrote: integrity',
    detection: 'version',
    judge: onGenerations(
      {
        Milan: judgeCacheWarp,
        Naples: () => is('exposed', 'no fix was published: SEV and SEV-ES promise no integrity'),
        Rome: () => is('exposed', 'no fix was published: SEV and SEV-ES promise no integrity'),
      },
      'the fix is for Milan',
    ),
  },
  {
    id: 'snp-reply-memory',
    names: 'CVE-2023-31346, CVE-2023-31347 (AMD-SB-3007)',
    breaks: 'replies to SEV-SNP guests carry memory of others; Secure TSC',
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3007; the test of it needs a SEV-SNP guest')),
  },
  {
    id: 'snp-state-writes',
    names: 'CVE-2023-31355, CVE-2024-21978, -21979, -21980 (AMD-SB-3011)',
    breaks: 'SEV-SNP firmware writes into state of guests',
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3011')),
  },
  {
    id: 'badram',
    names: 'CVE-2024-21944 (AMD-SB-3015), BadRAM',
    breaks: 'memory that lies about its size forges attestation and breaks integrity',
    detection: 'version',
    judge: onGenerations(
      {
        Milan: firmwareFloor(1, 55, 22),
        Genoa: firmwareFloor(1, 55, 38),
        'Bergamo or Siena': firmwareFloor(1, 55, 38),
        Turin: byBulletin('AMD-SB-3015'),
        'Turin Dense': byBulletin('AMD-SB-3015'),
      },
      'it is a defect of SEV-SNP, which the generation does not have',
    ),
  },
  {
    id: 'badram-alias-check',
    names: 'CVE-2024-21944 (AMD-SB-3015), the half of the fix that is in the BIOS',
    breaks: 'the same, where the BIOS did not check memory for aliases',
    detection: 'platform bit',
    judge: onSnp(() => is('unknown', `ALIAS_CHECK_COMPLETE: ${NO_BIT}`)),
  },
  {
    id: 'entrysign',
    names: 'CVE-2024-56161 (AMD-SB-3019), CVE-2024-36347 (AMD-SB-7033), EntrySign',
    breaks: 'anyone signs microcode: attestation means nothing',
    detection: 'version',
    judge: onSnp(judgeEntrySign),
  },
  {
    id: 'rmpocalypse',
    names: 'CVE-2025-0033 (AMD-SB-3020), RMPocalypse',
    breaks: 'the reverse map can be written while it is set up: integrity',
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3020, by the security version of the SNP firmware')),
  },
  {
    id: 'es-beside-snp',
    names: 'CVE-2025-48514 (AMD-SB-3023)',
    breaks: 'SEV-ES guests are attacked where SEV-SNP is on; the fix refuses SEV-ES there',
    detection: 'test',
    judge: onSnp(judgeEsBesideSnp),
  },
  {
    id: 'stackwarp',
    names: 'CVE-2025-29943 (AMD-SB-3027), StackWarp',
    breaks: "the sibling thread moves a guest's stack pointer",
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3027; a SEV-SNP policy that forbids SMT avoids it')),
  },
  {
    id: 'fabricated',
    names: 'CVE-2025-54510 (AMD-SB-3034) Fabricated, CVE-2025-61971 (AMD-SB-3030)',
    breaks: 'the data fabric is configured anew after initialisation',
    detection: 'version',
    judge: onSnp(byBulletin('AMD-SB-3034 and AMD-SB-3030')),
  },
  {
    id: 'iommu-writes',
    names: 'CVE-2023-20585 (AMD-SB-3016)',
    breaks: 'the IOMMU writes into guest memory',
    detection: 'platform bit',
    judge: onSnp(() => is('unknown', `iommuWriteSafe: ${NO_BIT}`)),
  },
  {
    id: 'heracles',
    names: 'Heracles (AMD-SB-3021)',
    breaks: 'moving pages shows which are equal',
    detection: 'platform bit',
    judge: onSnp(() => is('unknown', `firmware ABI 1.58 lets a SEV-SNP policy forbid page moves; ${NO_BIT}`)),
  },
  {
    id: 'injected-interrupts',
    names: 'CVE-2024-25742, -25743, -25744, Heckler and WeSee',
    breaks: 'the host injects interrupts that the guest takes for its own',
    detection: 'version',
    judge: () => is('unknown', "mended in the guest's kernel: ask the guest, not the host"),
  },
  {
    id: 'acpi-and-counters',
    names: 'BadAML, PwrLeak, CounterSEVeillance',
    breaks: "the host's ACPI code runs in the guest; power and performance counters leak",
    detection: 'none',
    judge: () => is('unseen', 'the guest must be hardened; nothing on the host shows it'),
  },
  {
    id: 'memory-interposers',
    names: 'Battering RAM, TEE.fail, DDRop',
    breaks: 'hardware on the memory bus reads and replays',
    detection: 'none',
    judge: () => is('unseen', 'it needs hands on the machine'),
  },
  {
    id: 'milan-root',
    names: 'MilanLaunchy, BadFuse (arXiv 2605.12990)',
    breaks: 'the root of the chip keys of Milan was extracted: its attestation can be forged',
    detection: 'none',
    judge: onGenerations(
      { Milan: () => is('unseen', 'no fix for the silicon: trust in chip keys of Milan is weakened') },
      'the root that was extracted is that of Milan',
    ),
  },
  {
    id: 'kvm-launch-finish',
    names: 'CVE-2026-31591',
    breaks: 'KVM: SNP_LAUNCH_FINISH and the locks of vCPUs',
    detection: 'version',
    judge: onSnp(({ kernel }) => is('unknown', `no fixed version to compare with; kernel ${kernel ?? '?'}`)),
  },
  {
    id: 'debug-under-nodbg',
    names: 'no CVE: a functional test',
    breaks: 'the firmware decrypts memory of a guest whose policy forbids it',
    detection: 'test',
    judge: ({ tests }) => tested(tests.debug, 'vulnerable'),
  },
];
