import type { TypedParam } from '../../../libvirt/protocol/typed-params.ts';
import { invalidArgument, refusal } from '../../refusal.ts';
import { limitMemory, MEMORY_LIMITS, type MemoryLimit, memoryLimit } from '../../state/memory-tuning.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';
import { modificationImpact } from './domain-lookup.ts';

const LIVE = 1;
const CONFIG = 2;
const STRINGS_OKAY = 4;

export const domainTuningHandlers: RemoteHandlers = {
  domainGetMemoryParameters: ({ dom, nparams, flags }, { machine }) => {
    checkFlags(flags, LIVE | CONFIG | STRINGS_OKAY, 'qemuDomainGetMemoryParameters');
    if ((flags & LIVE) !== 0 && (flags & CONFIG) !== 0) {
      const text = "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive";
      throw invalidArgument('DOMAIN', text, 'virDomainGetMemoryParameters', 'ctl');
    }
    const domain = machine.domains.resolve(dom);
    const { config } = modificationImpact(domain, flags);
    if (nparams === 0) return { params: [], nparams: MEMORY_LIMITS.length };
    const definition = config ? domain.persistent : domain.live?.definition;
    const params = MEMORY_LIMITS.slice(0, Math.max(0, nparams)).map(
      (field): TypedParam => ({ field, type: 'ullong', value: memoryLimit(definition, field) }),
    );
    return { params, nparams: 0 };
  },
  domainSetMemoryParameters: async ({ dom, params, flags }, { machine }) => {
    if (params.length === 0) {
      const api = 'virDomainSetMemoryParameters';
      throw invalidArgument('DOMAIN', `params in ${api} must not be NULL`, api, 'params');
    }
    checkFlags(flags, LIVE | CONFIG, 'qemuDomainSetMemoryParameters');
    const wanted = checkedLimits(params);
    const domain = machine.domains.resolve(dom);
    await domain.withJob(async () => limitMemory(machine, domain, modificationImpact(domain, flags), wanted));
    return {};
  },
};

/** `virTypedParamsValidate`, which goes through the names in their order. */
function checkedLimits(params: readonly TypedParam[]): ReadonlyMap<MemoryLimit, bigint> {
  const limits = new Map<MemoryLimit, bigint>();
  for (const { field, type, value } of [...params].sort((a, b) => (a.field < b.field ? -1 : 1))) {
    if (!isMemoryLimit(field)) throw refusal('ARGUMENT_UNSUPPORTED', 'NONE', `parameter '${field}' not supported`);
    if (type !== 'ullong') {
      throw refusal('INVALID_ARG', 'NONE', `invalid type '${type}' for parameter '${field}', expected 'ullong'`);
    }
    if (limits.has(field)) throw refusal('INVALID_ARG', 'NONE', `parameter '${field}' occurs multiple times`);
    limits.set(field, value);
  }
  return limits;
}

function isMemoryLimit(field: string): field is MemoryLimit {
  return (MEMORY_LIMITS as readonly string[]).includes(field);
}
