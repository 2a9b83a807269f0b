import { toBase64 } from '../../../../core/bytes.ts';
import type { TypedParam } from '../../../libvirt/protocol/typed-params.ts';
import { SEV_STATUS, sevStatusText } from '../../kernel/platform.ts';
import { refusal } from '../../refusal.ts';
import { requireActive } from '../../state/lifecycle.ts';
import { STATE } from '../../state/states.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';

const TYPED_PARAM_STRING_OKAY = 4;

export const domainSecurityHandlers: RemoteHandlers = {
  domainGetLaunchSecurityInfo: ({ dom, flags }, { machine }) => {
    checkFlags(flags, TYPED_PARAM_STRING_OKAY, 'qemuDomainGetLaunchSecurityInfo');
    const domain = machine.domains.resolve(dom);
    const security = domain.current?.launchSecurity;
    if (security?.type !== 'sev') return { params: [] };
    const { qemu } = requireActive(domain);
    const firmware = machine.profile.sevFirmware;
    const blob = qemu.sev?.handle === undefined ? undefined : machine.platform.launchMeasure(qemu.sev.handle);
    if (blob === undefined || firmware === undefined) {
      throw monitorRefusal('query-sev-launch-measure', 'SEV launch measurement is not available');
    }
    const params: TypedParam[] = [
      { field: 'sev-measurement', type: 'string', value: toBase64(blob) },
      { field: 'sev-api-major', type: 'uint', value: firmware.apiMajor },
      { field: 'sev-api-minor', type: 'uint', value: firmware.apiMinor },
      { field: 'sev-build-id', type: 'uint', value: firmware.build },
      { field: 'sev-policy', type: 'uint', value: security.policy },
    ];
    return { params };
  },
  domainSetLaunchSecurityState: ({ dom, params, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainSetLaunchSecurityState');
    const domain = machine.domains.resolve(dom);
    if (domain.current?.launchSecurity?.type !== 'sev') {
      const text = 'setting a launch secret is only supported in SEV-enabled domains';
      throw refusal('OPERATION_UNSUPPORTED', 'QEMU', text);
    }
    const given = new Set(params.map((param) => param.field));
    if (!given.has('sev-secret') || !given.has('sev-secret-header')) {
      throw refusal('INTERNAL_ERROR', 'QEMU', 'Both secret and the secret header are required');
    }
    requireActive(domain);
    if (domain.state[0] !== STATE.paused) {
      throw refusal('OPERATION_INVALID', 'QEMU', 'domain must be in a paused state');
    }
    // A platform without keys can verify no secret's MAC.
    const status = SEV_STATUS.BAD_MEASUREMENT;
    const words = `SEV: failed to inject secret ret=-5 fw_error=${status} '${sevStatusText(status)}'`;
    throw monitorRefusal('sev-inject-launch-secret', words);
  },
};

/** How libvirt passes on an error of a QMP command. */
function monitorRefusal(command: string, words: string) {
  return refusal('INTERNAL_ERROR', 'QEMU', `unable to execute QEMU command '${command}': ${words}`);
}
