import { describe, expect, it } from 'vitest';
import { connect, isNoSupport, isNoSupportedProcedure } from '../libvirt/index.ts';
import { type Codec, nothing } from '../libvirt/protocol/codec.ts';
import { remoteProcedures, remoteProgram } from '../libvirt/protocol/libvirt.gen.ts';
import type { XdrWriter } from '../libvirt/xdr/writer.ts';
import { refusalOf } from './refusal.ts';
import type { ContractHost } from './target.ts';

/** virDrvFeature numbers that a QEMU driver behind a daemon of libvirt 9.0 says yes and no to. */
const FEATURES_THERE = [3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const FEATURES_NOT_THERE = [0, 1, 2, 5, 17, 18, 99];

const procedure = (number: number, args: Codec<object> = nothing) => ({
  ...remoteProcedures.connectGetHostname,
  number,
  args,
});
const sending = (write: (writer: XdrWriter) => void): Codec<object> => ({ read: () => ({}), write });

export function describeConnecting(host: () => ContractHost): void {
  describe('connecting', () => {
    it('tells type, versions, name, URI and security as a QEMU driver does', async () => {
      const { connection, target } = host();
      expect(await connection.call('connectGetType', {})).toEqual({ type: 'QEMU' });
      expect(await connection.call('connectGetUri', {})).toEqual({ uri: target.hostUri });
      expect(await connection.call('connectIsSecure', {})).toEqual({ secure: 1 });
      expect(await connection.libvirtVersion()).toMatch(/^\d+\.\d+\.\d+$/);
      expect(await connection.hypervisorVersion()).toMatch(/^\d+\.\d+\.\d+$/);
      expect(await connection.hostname()).toMatch(/^\S+$/);
    });

    it('supports the features of libvirt 9.0 and no others', async () => {
      const ask = async (feature: number) =>
        (await host().connection.call('connectSupportsFeature', { feature })).supported;
      expect(await Promise.all(FEATURES_THERE.map(ask))).toEqual(FEATURES_THERE.map(() => 1));
      expect(await Promise.all(FEATURES_NOT_THERE.map(ask))).toEqual(FEATURES_NOT_THERE.map(() => 0));
    });

    it('describes a machine that adds up', async () => {
      const node = await host().connection.nodeInfo();
      expect(node.model).toBe('x86_64');
      expect(node.memoryKiB).toBeGreaterThan(0n);
      expect(node.nodes * node.sockets * node.cores * node.threads).toBeGreaterThanOrEqual(node.cpus);
    });

    it('gives capabilities and domain capabilities as XML, with a word about SEV', async () => {
      const { connection, target } = host();
      const capabilities = await connection.capabilitiesXml();
      expect(capabilities).toMatch(/^<capabilities>/);
      expect(capabilities).toContain('<arch>x86_64</arch>');
      const domain = await connection.domainCapabilitiesXml({ virtType: 'qemu', arch: 'x86_64', machine: 'q35' });
      expect(domain).toMatch(/^<domainCapabilities>/);
      expect(domain).toContain(`<sev supported='${target.knowsSev ? 'yes' : 'no'}'`);
    });

    it('tells the SEV limits, or that QEMU does not support SEV', async () => {
      const { connection, target } = host();
      if (target.knowsSev) {
        const info = await connection.sevInfo();
        expect(Object.keys(info)).toEqual(
          expect.arrayContaining(['pdh', 'certChain', 'cbitpos', 'reducedPhysBits', 'maxGuests']),
        );
      } else {
        expect(await refusalOf(connection.sevInfo())).toEqual([
          84,
          10,
          'Operation not supported: QEMU does not support SEV guest',
        ]);
      }
    });

    it('refuses calls before OPEN, a second OPEN, and calls after that', async () => {
      await using other = await connect(host().uri);
      const open = { name: host().target.hostUri, flags: 0 };
      const notOpen = [1, 7, 'internal error: hypervisor connection not open'];
      expect(await refusalOf(other.call('connectOpen', open))).toEqual([
        1,
        7,
        'internal error: connection already open',
      ]);
      expect(await refusalOf(other.call('connectGetHostname', {}))).toEqual(notOpen);
      await other.call('connectOpen', open);
      expect(await other.hostname()).toBe(await host().connection.hostname());
    });

    it('names a procedure that does not exist', async () => {
      const { connection } = host();
      for (const number of [0, 9999]) {
        const asking = connection.callRaw(procedure(number), {});
        expect(await refusalOf(asking)).toEqual([39, 7, `unknown procedure: ${number}`]);
        await expect(connection.callRaw(procedure(number), {})).rejects.toSatisfy(isNoSupportedProcedure);
      }
    });

    it('names a program that does not exist', async () => {
      const unknown = { ...procedure(1), program: { id: 0x20008099, version: 1 } };
      const asking = host().connection.callRaw(unknown, {});
      expect(await refusalOf(asking)).toEqual([39, 7, 'Cannot find program 536903833 version 1']);
    });

    it('names the function that its driver does not have', async () => {
      // The first version of the migration protocol: every libvirt dispatches it, QEMU's driver never had it.
      const migrateFinish = procedure(
        63,
        sending((writer) => {
          writer.string('x', 10);
          writer.opaque(new Uint8Array(0), 10);
          writer.string('qemu:///system', 20);
          writer.uhyper(0n);
        }),
      );
      const asking = host().connection.callRaw({ ...migrateFinish, program: remoteProgram }, {});
      const text = 'this function is not supported by the connection driver: virDomainMigrateFinish';
      expect(await refusalOf(asking)).toEqual([3, expect.any(Number), text]);
      await expect(host().connection.callRaw(migrateFinish, {})).rejects.toSatisfy(isNoSupport);
    });

    it('refuses arguments that it cannot decode, and goes on', async () => {
      const { connection } = host();
      const cut = procedure(
        remoteProcedures.domainLookupByName.number,
        sending((writer) => writer.uint(99)),
      );
      expect(await refusalOf(connection.callRaw(cut, {}))).toEqual([39, 7, 'Unable to decode message payload']);
      expect(await connection.hostname()).toMatch(/^\S+$/);
    });

    it('answers two hundred calls in flight, each with its own answer', async () => {
      const { connection } = host();
      const names = Array.from({ length: 200 }, (_, index) => `no-such-${index}`);
      const answers = await Promise.all(names.map((name) => refusalOf(connection.lookupByName(name))));
      expect(answers).toEqual(
        names.map((name) => [42, 10, `Domain not found: no domain with matching name '${name}'`]),
      );
    });

    it('keeps a quiet connection that watches over it', async () => {
      await using other = await connect(host().uri, { keepalive: { intervalMs: 20, count: 3 } });
      await host().connection.hostname();
      expect(await other.hostname()).toBe(await host().connection.hostname());
    });
  });
}
