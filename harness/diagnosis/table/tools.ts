import type { Entry } from '../entry.ts';
import { statusCode } from '../status.ts';

/** Names whose numbers old Linux headers had wrong. */
const SHIFTED_NAME =
  /(?:(?<fw>0x[0-9a-fA-F]+|\b\d+)\W{1,4})?\b(?:SEV_RET_)?(?<name>INVALID_PAGE_SIZE|INVALID_PAGE_STATE|INVALID_MDATA_ENTRY|INVALID_PAGE_OWNER|AEAD_OFLOW|RMP_INIT_REQUIRED|BAD_SVN|BAD_VERSION|SHUTDOWN_REQUIRED|UPDATE_FAILED|RESTORE_REQUIRED|RMP_INITIALIZATION_FAILED)\b(?:\W{1,4}(?<fw2>0x[0-9a-fA-F]+|\d+))?/;

/** What the tools for certificates and measurements say. */
export const toolEntries: readonly Entry[] = [
  {
    id: 'partial-chain-exported',
    kind: 'cause',
    pattern: /failed to fill whole buffer/,
    confidence: 'likely',
    cause: 'The exported chain lacks certificates: sevctl export was run without --full.',
    fix: 'sevctl export --full; remove TIK and TEK files that were left half-written.',
    example: 'Error: failed to fill whole buffer',
    source: 'enarx-archive/sevctl pull request 96',
  },
  {
    id: 'shifted-status-name',
    kind: 'cause',
    pattern: SHIFTED_NAME,
    applies: ({ name = '', fw, fw2 }) => {
      const number = fw ?? fw2;
      return number !== undefined && Number(number) !== statusCode(name);
    },
    confidence: 'likely',
    cause: 'The name {name} does not belong to the number beside it, which means {status}.',
    fix: 'Trust the number, and update the program that printed the name.',
    caution: 'Old Linux headers number the names from INVALID_PAGE_SIZE on from 0x28 instead of 0x19.',
    example: 'SNP_PLATFORM_STATUS failed: SEV_RET_INVALID_PAGE_SIZE (0x28)',
    source: 'Linux include/uapi/linux/psp-sev.h, before it was put right',
  },
  {
    id: 'ovmf-without-reset-block',
    kind: 'cause',
    pattern: /Can't find SEV_ES_RESET_BLOCK_GUID entry in OVMF table/,
    confidence: 'certain',
    cause: 'This OVMF has no SEV-ES reset block: it is the wrong package, or the variable store instead of the code.',
    fix: 'Give OVMF_CODE of a build with SEV-ES, not OVMF_VARS.',
    example: "Can't find SEV_ES_RESET_BLOCK_GUID entry in OVMF table",
    source: 'sev-snp-measure issue 51',
  },
  {
    id: 'measure-tool-too-old',
    kind: 'cause',
    pattern: /\d+ is not a valid SectionType/,
    confidence: 'certain',
    cause: 'The measuring tool is older than the OVMF: it does not know a section of its metadata.',
    fix: 'Update the tool.',
    example: 'ValueError: 4 is not a valid SectionType',
    source: 'sev-snp-measure issue 50',
  },
  {
    id: 'vcek-rate-limit',
    kind: 'cause',
    pattern: /kdsintf\.amd\.com\S*.*\b429\b|\b429\b.*kdsintf\.amd\.com/,
    confidence: 'certain',
    cause: "AMD's key service answers about one request in ten seconds and address.",
    fix: 'Cache certificates by chip id and TCB.',
    example: 'GET https://kdsintf.amd.com/vcek/v1/Milan/…: HTTP status 429 Too Many Requests',
    source: 'trustee issue 1512, attestation-rs issue 88',
  },
  {
    id: 'vcek-not-found',
    kind: 'cause',
    pattern: /kdsintf\.amd\.com\S*.*\b404\b|\b404\b.*kdsintf\.amd\.com/,
    confidence: 'likely',
    cause:
      "AMD's key service has no such certificate: mostly the product name in the URL is wrong, or the firmware is not released.",
    fix: 'Take the product from the CPUID of the chip, and the reported TCB, not the current one.',
    example: 'GET https://kdsintf.amd.com/vcek/v1/Milan/…: HTTP status 404 Not Found',
    source: 'trustee issue 591, snpguest issues 53 and 109',
  },
];
