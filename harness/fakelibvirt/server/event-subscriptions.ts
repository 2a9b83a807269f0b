import {
  type Codec,
  encodeValue,
  MESSAGE_STATUS,
  MESSAGE_TYPE,
  type PushedEvent,
} from '../../libvirt/protocol/codec.ts';
import { type MessageHeader, qemuEvents, remoteEvents } from '../../libvirt/protocol/libvirt.gen.ts';
import { refusal } from '../refusal.ts';
import type { DomainEvent, EventBus } from '../state/events.ts';

/** VIR_DOMAIN_EVENT_ID_LAST of libvirt 9.0. */
const EVENT_ID_LAST = 27;
const EVENT_ID = { lifecycle: 0, reboot: 1, 'agent-lifecycle': 18 } as const;

interface Subscription {
  readonly callbackId: number;
  /** VIR_DOMAIN_EVENT_ID_*, or 'monitor' for QEMU's own events. */
  readonly eventId: number | 'monitor';
  readonly domainUuid: string | undefined;
  readonly monitorEvent: string | undefined;
}

/** The callbacks of one connection, and the messages they become. */
export class EventSubscriptions {
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #send: (header: MessageHeader, payload: Uint8Array) => void;
  readonly #unsubscribe: () => void;
  #nextCallbackId = 0;

  constructor(bus: EventBus, send: (header: MessageHeader, payload: Uint8Array) => void) {
    this.#send = send;
    this.#unsubscribe = bus.subscribe((event) => this.#queue(event));
  }

  /** Refuses an event id that libvirt does not have. Returns the callback id. */
  register(eventId: number, domainUuid: string | undefined): number {
    if (eventId < 0 || eventId >= EVENT_ID_LAST) {
      throw refusal('INTERNAL_ERROR', 'RPC', `unsupported event ID ${eventId}`);
    }
    return this.#add({ eventId, domainUuid, monitorEvent: undefined });
  }

  registerMonitor(monitorEvent: string | undefined, domainUuid: string | undefined): number {
    return this.#add({ eventId: 'monitor', domainUuid, monitorEvent });
  }

  deregister(callbackId: number): void {
    if (this.#subscriptions.delete(callbackId)) return;
    throw refusal('INTERNAL_ERROR', 'RPC', `domain event callback ${callbackId} not registered`);
  }

  close(): void {
    this.#unsubscribe();
    this.#subscriptions.clear();
  }

  #add(subscription: Omit<Subscription, 'callbackId'>): number {
    const callbackId = this.#nextCallbackId++;
    this.#subscriptions.set(callbackId, { ...subscription, callbackId });
    return callbackId;
  }

  /**
   * libvirtd queues an event for its main loop, so that it leaves behind the reply of the call that caused it, and may
   * still reach a client that has deregistered in between.
   */
  #queue(event: DomainEvent): void {
    const takers = [...this.#subscriptions.values()].filter((one) => matches(one, event));
    if (takers.length > 0) setImmediate(() => this.#deliver(event, takers));
  }

  #deliver(event: DomainEvent, takers: readonly Subscription[]): void {
    for (const { callbackId } of takers) {
      const dom = event.domain;
      switch (event.kind) {
        case 'lifecycle':
          this.#push(remoteEvents.domainEventCallbackLifecycle, {
            callbackID: callbackId,
            dom,
            event: event.event,
            detail: event.detail,
          });
          break;
        case 'reboot':
          this.#push(remoteEvents.domainEventCallbackReboot, { callbackID: callbackId, dom });
          break;
        case 'agent-lifecycle':
          this.#push(remoteEvents.domainEventCallbackAgentLifecycle, {
            callbackID: callbackId,
            dom,
            state: event.state,
            reason: event.reason,
          });
          break;
        case 'monitor':
          this.#push(qemuEvents.domainMonitorEvent, {
            callbackID: callbackId,
            dom,
            event: event.event,
            seconds: BigInt(Math.floor(event.atMs / 1000)),
            micros: (event.atMs % 1000) * 1000,
            details: event.details,
          });
      }
    }
  }

  #push<Fields>(event: PushedEvent<Fields>, fields: Fields): void {
    const { id, version } = event.program;
    const codec: Codec<Fields> = event.fields;
    this.#send(
      { prog: id, vers: version, proc: event.number, type: MESSAGE_TYPE.message, serial: 0, status: MESSAGE_STATUS.ok },
      encodeValue(codec, fields),
    );
  }
}

function matches(subscription: Subscription, event: DomainEvent): boolean {
  if (subscription.domainUuid !== undefined && subscription.domainUuid !== event.domain.uuid) return false;
  if (event.kind !== 'monitor') return subscription.eventId === EVENT_ID[event.kind];
  if (subscription.eventId !== 'monitor') return false;
  return subscription.monitorEvent === undefined || subscription.monitorEvent === event.event;
}
