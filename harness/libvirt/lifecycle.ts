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

/** VIR_DOMAIN_EVENT_ID_* */
const EVENT_ID = { lifecycle: 0, reboot: 1 } as const;

/** Lifecycle events of a connection: one registration at the daemon for each subscriber. */
export class LifecycleEvents {
  readonly #rpc: RpcConnection;
  readonly #listeners = new Map<number, LifecycleListener>();
  readonly #rebootListeners = new Map<number, (uuid: string) => void>();

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
    rpc.onEvent(remoteEvents.domainEventCallbackReboot, ({ callbackID, dom }) => {
      this.#rebootListeners.get(callbackID)?.(dom.uuid);
    });
  }

  subscribe(listener: LifecycleListener): Promise<() => Promise<void>> {
    return this.#register(EVENT_ID.lifecycle, 'lifecycle events', this.#listeners, listener);
  }

  /** Tells of each guest that was reset or rebooted itself, by uuid; QEMU may say it more than once. */
  subscribeToReboots(listener: (uuid: string) => void): Promise<() => Promise<void>> {
    return this.#register(EVENT_ID.reboot, 'reboots', this.#rebootListeners, listener);
  }

  async #register<L>(
    eventID: number,
    things: string,
    listeners: Map<number, L>,
    listener: L,
  ): Promise<() => Promise<void>> {
    const { callbackID } = await this.#rpc.call(
      remoteProcedures.connectDomainEventCallbackRegisterAny,
      { eventID, dom: null },
      { what: `listen for ${things}` },
      // Events may follow in the same packet as the answer.
      (ret) => listeners.set(ret.callbackID, listener),
    );
    return async () => {
      if (!listeners.delete(callbackID) || !this.#rpc.isOpen) return;
      const what = `stop listening for ${things}`;
      await this.#rpc.call(remoteProcedures.connectDomainEventCallbackDeregisterAny, { callbackID }, { what });
    };
  }
}
