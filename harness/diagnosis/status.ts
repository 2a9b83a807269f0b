interface FirmwareStatus {
  readonly name: string;
  /** What the SEV firmware means by it, and where it comes from in the field. */
  readonly meaning: string;
}

/**
 * Status codes of the SEV firmware (SEV API, "Status codes"; SEV-SNP firmware ABI, table 10), with field causes.
 *
 * Names of 0x19 to 0x26 as printed by programs built with old Linux headers are wrong: there they count on from 0x28.
 */
const STATUS: Readonly<Record<number, FirmwareStatus>> = {
  [-1]: { name: 'NO_FW_CALL', meaning: 'the kernel never called the firmware' },
  1: { name: 'INVALID_PLATFORM_STATE', meaning: 'the platform is not initialised, or is so already' },
  2: { name: 'INVALID_GUEST_STATE', meaning: 'the command does not fit the state of the launch' },
  3: { name: 'INVALID_CONFIG', meaning: 'SMEE, SNP, IOMMU or the SEV-ES memory is not set up as the command needs' },
  4: { name: 'INVALID_LENGTH', meaning: 'a buffer has the wrong length' },
  5: { name: 'ALREADY_OWNED', meaning: 'the platform has an owner already' },
  6: { name: 'INVALID_CERTIFICATE', meaning: 'a certificate is malformed or its point is off the curve' },
  7: { name: 'POLICY_FAILURE', meaning: 'the guest policy asks for what this platform does not give' },
  8: { name: 'INACTIVE', meaning: 'the guest is not activated' },
  9: { name: 'INVALID_ADDRESS', meaning: 'a page is unaligned, not pinned or owned by another' },
  10: { name: 'BAD_SIGNATURE', meaning: 'a signature does not verify' },
  11: { name: 'BAD_MEASUREMENT', meaning: 'a MAC or digest is not what the platform computed' },
  12: { name: 'ASID_OWNED', meaning: 'the ASID belongs to another guest: one was leaked' },
  13: { name: 'INVALID_ASID', meaning: 'the ASID is outside of the range of this kind of guest' },
  14: { name: 'WBINVD_REQUIRED', meaning: 'caches were not flushed before DF_FLUSH' },
  15: { name: 'DFFLUSH_REQUIRED', meaning: 'the ASID was reused without DF_FLUSH' },
  16: { name: 'INVALID_GUEST', meaning: 'the guest handle is gone' },
  17: { name: 'INVALID_COMMAND', meaning: 'this firmware does not know the command' },
  18: { name: 'ACTIVE', meaning: 'the guest is still active' },
  19: { name: 'HWERROR_PLATFORM', meaning: 'a hardware condition, in the field mostly SMEE left on Auto in the BIOS' },
  20: { name: 'HWERROR_UNSAFE', meaning: 'a hardware fault; the machine needs a reset' },
  21: { name: 'UNSUPPORTED', meaning: 'this firmware refuses the feature' },
  22: { name: 'INVALID_PARAM', meaning: 'a reserved bit is set, or a value is out of range' },
  23: { name: 'RESOURCE_LIMIT', meaning: 'the firmware has no guest context left' },
  24: { name: 'SECURE_DATA_INVALID', meaning: "the firmware's stored data is corrupt" },
  25: { name: 'INVALID_PAGE_SIZE', meaning: 'the page size is not that of the reverse map' },
  26: { name: 'INVALID_PAGE_STATE', meaning: 'the page is in the wrong state of the reverse map' },
  27: { name: 'INVALID_MDATA_ENTRY', meaning: 'the metadata entry is wrong' },
  28: { name: 'INVALID_PAGE_OWNER', meaning: 'the page belongs to another guest' },
  29: { name: 'AEAD_OFLOW', meaning: 'the sequence number overflowed' },
  31: { name: 'RING_BUFFER', meaning: 'ring buffer mode ended' },
  32: { name: 'RMP_INIT_REQUIRED', meaning: 'the reverse map was never initialised' },
  33: { name: 'BAD_SVN', meaning: 'the image is older than the committed one' },
  34: { name: 'BAD_VERSION', meaning: 'the image is older than the running one' },
  35: { name: 'SHUTDOWN_REQUIRED', meaning: 'the platform must be shut down first' },
  36: { name: 'UPDATE_FAILED', meaning: 'the update failed' },
  37: { name: 'RESTORE_REQUIRED', meaning: 'the old image must be restored' },
  38: { name: 'RMP_INITIALIZATION_FAILED', meaning: 'the reverse map could not be initialised' },
  39: { name: 'INVALID_KEY', meaning: 'the key is not usable' },
  40: { name: 'SHUTDOWN_INCOMPLETE', meaning: 'the shutdown did not complete' },
};

/** Linux errno numbers that KVM, the ccp driver and mlock answer with. */
const ERRNO: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  5: 'EIO',
  6: 'ENXIO',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  19: 'ENODEV',
  22: 'EINVAL',
  25: 'ENOTTY',
  28: 'ENOSPC',
  95: 'EOPNOTSUPP',
  110: 'ETIMEDOUT',
};

/** Name and meaning of a firmware status, from its number as printed: decimal, or hex with `0x`. */
export function statusText(number: string): string {
  const status = STATUS[Number(number)];
  return status === undefined ? 'a code that no specification names' : `${status.name}: ${status.meaning}`;
}

/** `EBUSY` for `-16` and `16`; the number itself when it is no errno that we know. */
export function errnoName(ret: string): string {
  return ERRNO[Math.abs(Number(ret))] ?? `errno ${Math.abs(Number(ret))}`;
}

/** The code that a status name stands for; undefined for names that are none. */
export function statusCode(name: string): number | undefined {
  const found = Object.entries(STATUS).find(([, status]) => status.name === name);
  return found === undefined ? undefined : Number(found[0]);
}

/** The name of a status; the number itself where no specification names it. */
export function statusName(status: number): string {
  return STATUS[status]?.name ?? `status ${status}`;
}
