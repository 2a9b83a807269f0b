import type { QemuHandlers, RemoteHandlers } from '../dispatch.ts';

export const eventHandlers: RemoteHandlers = {
  connectDomainEventCallbackRegisterAny: ({ eventID, dom }, { machine, connection }) => {
    const uuid = dom === null ? undefined : machine.domains.resolve(dom).uuid;
    return { callbackID: connection.events.register(eventID, uuid) };
  },
  connectDomainEventCallbackDeregisterAny: ({ callbackID }, { connection }) => {
    connection.events.deregister(callbackID);
    return {};
  },
};

export const monitorEventHandlers: QemuHandlers = {
  connectDomainMonitorEventRegister: ({ dom, event }, { machine, connection }) => {
    const uuid = dom === null ? undefined : machine.domains.resolve(dom).uuid;
    return { callbackID: connection.events.registerMonitor(event ?? undefined, uuid) };
  },
  connectDomainMonitorEventDeregister: ({ callbackID }, { connection }) => {
    connection.events.deregister(callbackID);
    return {};
  },
};
