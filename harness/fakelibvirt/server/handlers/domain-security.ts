import type { TypedParam } from '../../../libvirt/protocol/typed-params.ts';
import { refusal } from '../../refusal.ts';
import type { LiveDomain } from '../../state/domain.ts';
import { requireActive } from '../../state/lifecycle.ts';
import type { Machine } from '../../state/machine.ts';
import { injectLaunchSecret, launchMeasurement, sevState } from '../../state/sev-launch.ts';
import { STATE } from '../../state/states.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';

/** Fault measurement-of-stopped-domain. */
const MADE_UP_PARAMS: TypedParam[] = [{ field: 'sev-measurement', type: 'string', value: 'A'.repeat(64) }];
const TYPED_PARAM_STRING_OKAY = 4;
const SECRET_PARAMS = ['sev-secret-header', 'sev-secret', 'sev-secret-set-address'];

export const domainSecurityHandlers: RemoteHandlers = {
  domainGetLaunchSecurityInfo: ({ dom, flags }, { machine }) => {
    checkFlags(flags, TYPED_PARAM_STRING_OKAY, 'qemuDomainGetLaunchSecurityInfo');
    const domain = machine.domains.resolve(dom);
    if (domain.current?.launchSecurity?.type !== 'sev') return { params: [] };
    if (domain.live === undefined && machine.has('measurement-of-stopped-domain')) return { params: MADE_UP_PARAMS };
    return { params: launchSecurityParams(machine, requireActive(domain)) };
  },
  domainSetLaunchSecurityState: ({ dom, params, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainSetLaunchSecurityState');
    const unknown = params.find(({ field }) => !SECRET_PARAMS.includes(field));
    if (unknown) throw refusal('INVALID_ARG', 'NONE', `parameter '${unknown.field}' not supported`);
    const domain = machine.domains.resolve(dom);
    if (domain.current?.launchSecurity?.type !== 'sev') {
      const text = 'setting a launch secret is only supported in SEV-enabled domains';
      throw refusal('OPERATION_UNSUPPORTED', 'QEMU', text);
    }
    const given = new Map(params.map(({ field, value }) => [field, value]));
    const [header, secret] = [given.get('sev-secret-header'), given.get('sev-secret')];
    if (header === undefined || secret === undefined) {
      throw refusal('INTERNAL_ERROR', 'QEMU', 'Both secret and the secret header are required');
    }
    const live = requireActive(domain);
    if (domain.state[0] !== STATE.paused && !machine.has('secret-while-running')) {
      throw refusal('OPERATION_INVALID', 'QEMU', 'domain must be in a paused state');
    }
    const address = given.get('sev-secret-set-address');
    const guestAddress = address === undefined ? undefined : Number(address);
    const answer = injectLaunchSecret(machine, live, {
      header: String(header),
      secret: String(secret),
      guestAddress,
    });
    if ('words' in answer) throw monitorRefusal('sev-inject-launch-secret', answer.words);
    return {};
  },
};

function launchSecurityParams(machine: Machine, live: LiveDomain): TypedParam[] {
  const measurement = launchMeasurement(machine, live);
  if ('words' in measurement) throw monitorRefusal('query-sev-launch-measure', measurement.words);
  const state = sevState(machine, live);
  if (state === undefined) throw monitorRefusal('query-sev', 'SEV is not enabled');
  return [
    { field: 'sev-measurement', type: 'string', value: measurement.value },
    { field: 'sev-api-major', type: 'uint', value: state.apiMajor },
    { field: 'sev-api-minor', type: 'uint', value: state.apiMinor },
    { field: 'sev-build-id', type: 'uint', value: state.build },
    { field: 'sev-policy', type: 'uint', value: state.policy },
  ];
}

/** How libvirt passes on an error of a QMP command. */
function monitorRefusal(command: string, words: string) {
  return refusal('INTERNAL_ERROR', 'QEMU', `unable to execute QEMU command '${command}': ${words}`);
}
