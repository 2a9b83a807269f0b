import { attachDevice, detachDevice } from '../../state/devices.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';
import { modificationImpact } from './domain-lookup.ts';

const AFFECT_LIVE = 1;

export const domainDeviceHandlers: RemoteHandlers = {
  domainAttachDevice: ({ dom, xml }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    attachDevice(machine, domain, xml, modificationImpact(domain, AFFECT_LIVE));
    return {};
  },
  domainAttachDeviceFlags: ({ dom, xml, flags }, { machine }) => {
    checkFlags(flags, 3, 'qemuDomainAttachDeviceLiveAndConfig');
    const domain = machine.domains.resolve(dom);
    attachDevice(machine, domain, xml, modificationImpact(domain, flags));
    return {};
  },
  domainDetachDevice: ({ dom, xml }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    detachDevice(machine, domain, xml, modificationImpact(domain, AFFECT_LIVE));
    return {};
  },
  domainDetachDeviceFlags: ({ dom, xml, flags }, { machine }) => {
    checkFlags(flags, 3, 'qemuDomainDetachDeviceLiveAndConfig');
    const domain = machine.domains.resolve(dom);
    detachDevice(machine, domain, xml, modificationImpact(domain, flags));
    return {};
  },
};
