/** VIR_DOMAIN_EVENT_* with their details (include/libvirt/libvirt-domain.h), as the wire carries them. */
export const LIFECYCLE = {
  definedAdded: [0, 0],
  definedUpdated: [0, 1],
  undefinedRemoved: [1, 0],
  startedBooted: [2, 0],
  startedRestored: [2, 2],
  suspendedPaused: [3, 0],
  resumedUnpaused: [4, 0],
  resumedFromSnapshot: [4, 2],
  stoppedShutdown: [5, 0],
  stoppedDestroyed: [5, 1],
  stoppedSaved: [5, 4],
  stoppedFailed: [5, 5],
  shutdownFinished: [6, 0],
  shutdownGuest: [6, 1],
  shutdownHost: [6, 2],
} as const satisfies Record<string, readonly [number, number]>;

export type LifecycleName = keyof typeof LIFECYCLE;

export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  /** -1 when the domain is not running. */
  readonly id: number;
}

export type DomainEvent =
  | { readonly kind: 'lifecycle'; readonly domain: DomainRef; readonly event: number; readonly detail: number }
  | { readonly kind: 'reboot'; readonly domain: DomainRef }
  | { readonly kind: 'agent-lifecycle'; readonly domain: DomainRef; readonly state: number; readonly reason: number }
  | {
      readonly kind: 'monitor';
      readonly domain: DomainRef;
      readonly event: string;
      readonly details: string | null;
      readonly atMs: number;
    };

export type EventListener = (event: DomainEvent) => void;

/** Hands each event to those who listen at that moment. */
export class EventBus {
  readonly #listeners = new Set<EventListener>();

  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: DomainEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
