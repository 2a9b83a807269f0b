import { afterAll, beforeAll } from 'vitest';
import {
  emulatorProcedures,
  type NonnullDomain,
  remoteProcedures as remote,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { type EmulatedHost, type FaultId, type ProfileName, startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';
import { type GuestOptions, guestXml, testUuid } from './test-guests.ts';

/** One emulated host for all tests of a file, with a client that hears its lifecycle events, and guests as they are needed. */
export function useLab(profile: ProfileName, faults: readonly FaultId[] = []) {
  let host: EmulatedHost | undefined;
  let client: TestClient | undefined;
  let lastGuest = 0;
  beforeAll(async () => {
    host = await startEmulatedHost({ profile, faults });
    client = await TestClient.open(host.socketPath);
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await host?.close();
  });
  const lab = {
    get client(): TestClient {
      if (client === undefined) throw new Error('the lab is open only while tests run');
      return client;
    },
    /** A second client of the same host. */
    connectAgain(): Promise<TestClient> {
      return TestClient.open(host?.socketPath ?? '');
    },
    /** A guest that is defined and off; its events are taken. */
    async defined(options: GuestOptions = {}): Promise<NonnullDomain> {
      const number = ++lastGuest;
      const xml = guestXml(`g${number}`, { uuid: testUuid(number), ...options });
      const { dom } = await lab.client.call(remote.domainDefineXml, { xml });
      await lab.client.takeLifecycle();
      return dom;
    },
    /** The same, started. */
    async running(options: GuestOptions = {}): Promise<NonnullDomain> {
      const off = await lab.defined(options);
      const { dom } = await lab.client.call(remote.domainCreateWithFlags, { dom: off, flags: 0 });
      await lab.client.takeLifecycle();
      return dom;
    },
    /** `state/reason`, in libvirt's numbers. */
    async stateOf(dom: NonnullDomain): Promise<string> {
      return Object.values(await lab.client.call(remote.domainGetState, { dom, flags: 0 })).join('/');
    },
    async fileText(path: string): Promise<string> {
      const reading = { path, offset: 0n, length: 65_536 };
      return Buffer.from((await lab.client.call(emulatorProcedures.readFile, reading)).content).toString();
    },
    async pidOf({ name }: NonnullDomain): Promise<number> {
      return Number(await lab.fileText(`/run/libvirt/qemu/${name}.pid`));
    },
    /** A refusal as `code/domain text`. */
    async refusalOf(...call: Parameters<TestClient['refusal']>): Promise<string> {
      const { code, domain, message } = await lab.client.refusal(...call);
      return `${code}/${domain} ${message}`;
    },
  };
  return lab;
}
