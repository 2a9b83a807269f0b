/** Linux errno numbers; the kernel returns them negated, QEMU prints them so. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  EACCES: 13,
  EBUSY: 16,
  EINVAL: 22,
  ENOTTY: 25,
} as const;

export type ErrnoName = keyof typeof ERRNO;
