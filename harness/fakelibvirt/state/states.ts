/** virDomainState and its reasons, as far as a QEMU domain takes them (include/libvirt/libvirt-domain.h). */
export const STATES = {
  runningBooted: [1, 1],
  runningRestored: [1, 3],
  runningUnpaused: [1, 5],
  pausedUnknown: [3, 0],
  pausedUser: [3, 1],
  pausedStartingUp: [3, 11],
  shutdownUnknown: [4, 0],
  shutoffUnknown: [5, 0],
  shutoffShutdown: [5, 1],
  shutoffDestroyed: [5, 2],
  shutoffCrashed: [5, 3],
  shutoffSaved: [5, 5],
  shutoffFailed: [5, 6],
} as const satisfies Record<string, readonly [number, number]>;

export type DomainState = (typeof STATES)[keyof typeof STATES];

export const STATE = { running: 1, paused: 3, shutdown: 4, shutoff: 5 } as const;
