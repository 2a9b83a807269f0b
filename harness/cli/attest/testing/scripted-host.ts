import { VIR_ERR } from '../../../libvirt/index.ts';
import { encodeValue, type Procedure } from '../../../libvirt/protocol/codec.ts';
import { type RemoteCalls, remoteProcedures } from '../../../libvirt/protocol/libvirt.gen.ts';
import type { TypedParam } from '../../../libvirt/protocol/typed-params.ts';
import { listenScripted, type ScriptedPeer } from '../../../libvirt/testing/scripted-peer.ts';
import { XdrReader } from '../../../libvirt/xdr/reader.ts';

/** One SEV domain on a host that says whatever a test wants it to say. */
export interface ScriptedDomain {
  readonly name: string;
  /** virDomainState: 1 running, 3 paused, 5 shut off. */
  readonly state: number;
  readonly xml: string;
  readonly vcpus: number;
  /** An error is refused with, as libvirt does for QEMU. */
  readonly security: Readonly<Record<string, string | number>> | Error;
  readonly sevInfo: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly capabilities: string;
}

export interface ScriptedHost extends AsyncDisposable {
  readonly uri: string;
  /** What the domain was told to change, in order. */
  readonly changes: readonly string[];
  /** The launch secret that was injected. */
  readonly injected: () => Readonly<Record<string, unknown>> | undefined;
}

type Answers = { readonly [K in keyof RemoteCalls]?: (args: RemoteCalls[K]['args']) => RemoteCalls[K]['ret'] };

const UUID = '6a2e0a3e-52a1-4b8e-9e3e-3f1c6d1e7a10';

/** Serves one domain over libvirt's protocol; calls that are not listed are refused. */
export async function listenAsHost(domain: ScriptedDomain): Promise<ScriptedHost> {
  const changes: string[] = [];
  let injected: Record<string, unknown> | undefined;
  const dom = { name: domain.name, uuid: UUID, id: 7 };
  const answers: Answers = {
    connectGetHostname: () => ({ hostname: domain.hostname }),
    connectGetCapabilities: () => ({ capabilities: domain.capabilities }),
    nodeGetSevInfo: () => ({ params: params(domain.sevInfo), nparams: 0 }),
    domainLookupByName: ({ name }) => {
      if (name !== domain.name) throw new Error(`Domain not found: no domain with matching name '${name}'`);
      return { dom };
    },
    domainLookupById: () => ({ dom }),
    domainLookupByUuid: () => ({ dom }),
    domainGetState: () => ({ state: domain.state, reason: 0 }),
    domainGetXmlDesc: () => ({ xml: domain.xml }),
    domainGetInfo: () => ({ state: domain.state, maxMem: 0n, memory: 0n, nrVirtCpu: domain.vcpus, cpuTime: 0n }),
    domainGetLaunchSecurityInfo: () => {
      if (domain.security instanceof Error) throw domain.security;
      return { params: params(domain.security) };
    },
    domainSetLaunchSecurityState: ({ params: given }) => {
      injected = Object.fromEntries(given.map(({ field, value }) => [field, value]));
      changes.push('secret');
      return {};
    },
    domainResume: () => {
      changes.push('resume');
      return {};
    },
  };
  const peer: ScriptedPeer = await listenScripted((message, session) => {
    const name = procedureName(message.procedure);
    const answer = name && (answers[name] as ((args: unknown) => unknown) | undefined);
    if (message.type !== 0 || name === undefined || answer === undefined) return 'default';
    const procedure = remoteProcedures[name] as Procedure<unknown, unknown>;
    try {
      const result = answer(procedure.args.read(new XdrReader(message.body)));
      session.reply(message, encodeValue(procedure.ret, result));
    } catch (error) {
      session.refuse(message, { code: VIR_ERR.NO_DOMAIN, message: (error as Error).message });
    }
    return undefined;
  });
  return { uri: peer.uri, changes, injected: () => injected, [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose]() };
}

function procedureName(number: number): keyof RemoteCalls | undefined {
  const found = Object.entries(remoteProcedures).find(([, procedure]) => procedure.number === number);
  return found?.[0] as keyof RemoteCalls | undefined;
}

function params(values: Readonly<Record<string, string | number>>): TypedParam[] {
  return Object.entries(values).map(([field, value]) =>
    typeof value === 'string' ? { field, type: 'string', value } : { field, type: 'uint', value },
  );
}
