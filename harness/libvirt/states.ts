/** virDomainState (libvirt-domain.h), by wire number. */
const STATES = ['nostate', 'running', 'blocked', 'paused', 'shutdown', 'shutoff', 'crashed', 'pmsuspended'] as const;

export type DomainState = (typeof STATES)[number];

/** Reasons of each state, by wire number, worded as `virsh domstate --reason` prints them. */
const REASONS: Readonly<Record<DomainState, readonly string[]>> = {
  nostate: ['unknown'],
  running: [
    'unknown',
    'booted',
    'migrated',
    'restored',
    'from snapshot',
    'unpaused',
    'migration canceled',
    'save canceled',
    'event wakeup',
    'crashed',
    'post-copy',
    'post-copy failed',
  ],
  blocked: ['unknown'],
  paused: [
    'unknown',
    'user',
    'migrating',
    'saving',
    'dumping',
    'I/O error',
    'watchdog',
    'from snapshot',
    'shutting down',
    'creating snapshot',
    'crashed',
    'starting up',
    'post-copy',
    'post-copy failed',
  ],
  shutdown: ['unknown', 'user'],
  shutoff: ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from snapshot', 'daemon'],
  crashed: ['unknown', 'panicked'],
  pmsuspended: ['unknown'],
};

/** virDomainEventType (libvirt-domain.h), by wire number. */
const EVENTS = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pmsuspended',
  'crashed',
] as const;

export type LifecycleEventName = (typeof EVENTS)[number];

/** Details of each event, by wire number, worded as `virsh event` prints them, in lower case. */
const DETAILS: Readonly<Record<LifecycleEventName, readonly string[]>> = {
  defined: ['added', 'updated', 'renamed', 'snapshot'],
  undefined: ['removed', 'renamed'],
  started: ['booted', 'migrated', 'restored', 'snapshot', 'event wakeup'],
  suspended: [
    'paused',
    'migrated',
    'I/O error',
    'watchdog',
    'restored',
    'snapshot',
    'API error',
    'post-copy',
    'post-copy error',
  ],
  resumed: ['unpaused', 'migrated', 'snapshot', 'post-copy', 'post-copy error'],
  stopped: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'snapshot'],
  shutdown: ['finished', 'finished after guest request', 'finished after host request'],
  pmsuspended: ['memory', 'disk'],
  crashed: ['panicked', 'crashloaded'],
};

/** `nostate` for a number that libvirt 9.0 does not define. */
export function domainState(state: number): DomainState {
  return STATES[state] ?? 'nostate';
}

/** The reason in words, or the bare number where libvirt 9.0 defines none. */
export function stateReason(state: number, reason: number): string {
  return REASONS[domainState(state)][reason] ?? String(reason);
}

/** `undefined` for a number that libvirt 9.0 does not define. */
export function lifecycleEventName(event: number): LifecycleEventName | undefined {
  return EVENTS[event];
}

/** The detail in words, or the bare number where libvirt 9.0 defines none. */
export function lifecycleDetail(event: LifecycleEventName, detail: number): string | number {
  return DETAILS[event][detail] ?? detail;
}
