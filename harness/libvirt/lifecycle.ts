import { remoteEvents, remoteProcedures } from './protocol/libvirt.gen.ts';
import type { RpcConnection } from './rpc/connection.ts';
import { type LifecycleEventName, lifecycleDetail, lifecycleEventName } from './states.ts';

export interface LifecycleEvent {
  /** `id` is -1 when the domain no longer runs. */
  readonly domain: { readonly name: string; readonly uuid: string; readonly id: number };
  readonly event: LifecycleEventName;
  /** The detail in words, as `virsh event` prints it in lower case; the number where we know no word. */
  readonly detail: string | number;
}

export type LifecycleListener = (event: LifecycleEvent) => void;

/** VIR_DOMAIN_EVENT_ID_LIFECYCLE. */
const EVENT_ID_LIFECYCLE = 0;

/** Lifecycle events of a connection: one registration at the daemon for each subscriber. */
export class LifecycleEvents {
  readonly #rpc: RpcConnection;
  readonly #listeners = new Map<number, LifecycleListener>();

  constructor(rpc: RpcConnection) {
    this.#rpc = rpc;
    rpc.onEvent(remoteEvents.domainEventCallbackLifecycle, ({ callbackID, dom, event, detail }) => {
      // The daemon may send one more after a deregistration; nobody listens under its id any more.
      const listener = this.#listeners.get(callbackID);
      const name = lifecycleEventName(event);
      if (listener === undefined || name === undefined) return;
      const { uuid, id } = dom;
      listener({ domain: { name: dom.name, uuid, id }, event: name, detail: lifecycleDetail(name, detail) });
    });
  }

  async subscribe(listener: LifecycleListener): Promise<() => Promise<void>> {
    const args = { eventID: EVENT_ID_LIFECYCLE, dom: null };
    const { callbackID } = await this.#rpc.call(
      remoteProcedures.connectDomainEventCallbackRegisterAny,
      args,
      { what: 'listen for lifecycle events' },
      // Events may follow in the same packet as the answer.
      (ret) => this.#listeners.set(ret.callbackID, listener),
    );
    return async () => {
      if (!this.#listeners.delete(callbackID) || !this.#rpc.isOpen) return;
      const what = 'stop listening for lifecycle events';
      await this.#rpc.call(remoteProcedures.connectDomainEventCallbackDeregisterAny, { callbackID }, { what });
    };
  }
}
