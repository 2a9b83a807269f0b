import { describe, expect, it } from 'vitest';
import { typedParamRecord } from '../libvirt/typed-param-record.ts';
import { refusalOf } from './refusal.ts';
import type { ContractHost } from './target.ts';

/** VIR_DOMAIN_STATS_STATE. */
const STATS_STATE = 1;
const PAUSED = 3;
const PAUSED_BY_USER = 1;

export function describeData(host: () => ContractHost): void {
  describe('the data of a paused guest', () => {
    it('comes as typed parameters: its state in the statistics', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      const dom = { name: domain.name, uuid: domain.uuid, id: domain.id };
      const args = { doms: [dom], stats: STATS_STATE, flags: 0 };
      const { retStats } = await host().connection.call('connectGetAllDomainStats', args);
      expect(retStats.map((record) => record.dom)).toEqual([dom]);
      expect({ ...typedParamRecord(retStats[0]?.params ?? []) }).toEqual({
        'state.state': PAUSED,
        'state.reason': PAUSED_BY_USER,
      });
    });

    it('comes as typed parameters: no launch security for a plain guest, paused or not running', async () => {
      const domain = await host().define();
      expect(Object.keys(await domain.launchSecurityInfo())).toEqual([]);
      await domain.start({ paused: true });
      expect(Object.keys(await domain.launchSecurityInfo())).toEqual([]);
    });

    it('comes as typed parameters: memory tunables, where the daemon has cgroups', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      if (host().target.hasMemoryTuning) {
        const tunables = await domain.memoryParameters();
        expect(Object.keys(tunables)).toEqual(['hard_limit', 'soft_limit', 'swap_hard_limit']);
      } else {
        expect(await refusalOf(domain.memoryParameters())).toEqual([
          ...[84, 10],
          'Operation not supported: Memory tuning is not available in session mode',
        ]);
      }
    });

    it('takes and keeps memory tunables for its next start, where the daemon has cgroups', async () => {
      const domain = await host().define();
      const dom = { name: domain.name, uuid: domain.uuid, id: -1 };
      const tune = (field: string, value: bigint) => {
        const args = { dom, params: [{ field, type: 'ullong' as const, value }], flags: 0 };
        return host().connection.call('domainSetMemoryParameters', args);
      };
      expect(await refusalOf(tune('sevh_no_such', 1n))).toEqual([
        ...[74, 0],
        "argument unsupported: parameter 'sevh_no_such' not supported",
      ]);
      if (host().target.hasMemoryTuning) {
        await tune('hard_limit', 300_000n);
        expect(await domain.memoryParameters()).toMatchObject({ hard_limit: 300_000n });
        expect(await domain.xml()).toContain("<hard_limit unit='KiB'>300000</hard_limit>");
      } else {
        expect(await refusalOf(tune('hard_limit', 300_000n))).toEqual([
          ...[84, 10],
          'Operation not supported: Memory tuning is not available in session mode',
        ]);
      }
    });

    it('says how much memory and how many processors it has', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      expect(await domain.info()).toMatchObject({ state: 'paused', maxMemoryKiB: 32768n, memoryKiB: 32768n, vcpus: 1 });
    });

    it('describes itself in XML with its id only while it runs', async () => {
      const domain = await host().define();
      expect(await domain.xml()).toMatch(/^<domain type='qemu'>/);
      await domain.start({ paused: true });
      const live = await domain.xml();
      expect(live).toMatch(new RegExp(`^<domain type='qemu' id='${domain.id}'>`));
      expect(live).toContain(`<name>${domain.name}</name>`);
      expect(live).toContain(`<uuid>${domain.uuid}</uuid>`);
      expect(await domain.xml({ inactive: true })).toMatch(/^<domain type='qemu'>/);
    });

    it('can be asked from QEMU’s monitor, as JSON and in words', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      expect(await domain.monitorCommand({ execute: 'query-status' })).toMatchObject({
        status: 'prelaunch',
        running: false,
      });
      expect(await domain.monitorCommand('info status', { hmp: true })).toContain('VM status: paused (prelaunch)');
      const refused = domain.monitorCommand({ execute: 'sevh-no-such' });
      await expect(refused).rejects.toMatchObject({
        code: 'QEMU_MONITOR',
        details: { class: 'CommandNotFound', desc: 'The command sevh-no-such has not been found' },
      });
      await domain.resume();
      expect(await domain.monitorCommand({ execute: 'query-status' })).toMatchObject({
        status: 'running',
        running: true,
      });
      await domain.suspend();
      expect(await domain.monitorCommand({ execute: 'query-status' })).toMatchObject({
        status: 'paused',
        running: false,
      });
    });

    it('can be peeked at in memory', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      expect((await domain.memoryPeek(0x1000, 4096)).length).toBe(4096);
    });
  });

  describe('a stream', () => {
    it('carries the console of a guest, one reader at a time', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      const console = await domain.openConsole();
      expect(await refusalOf(domain.openConsole())).toEqual([
        ...[9, 10],
        'operation failed: Active console session exists for this domain',
      ]);
      await domain.resume();
      for await (const printed of console) {
        expect(printed.length).toBeGreaterThan(0);
        break;
      }
      await console.write('\r');
      await console.close();
      await (await domain.openConsole()).close();
    });

    it('of a console ends when its guest does', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      const console = await domain.openConsole();
      const reading = (async () => {
        for await (const _ of console);
      })();
      await domain.destroy();
      await reading;
      await console.close();
    });

    it('of a console that does not exist is refused', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      expect(await refusalOf(domain.openConsole({ device: 'no-such' }))).toEqual([
        ...[1, 10],
        'internal error: cannot find character device no-such',
      ]);
    });

    it('carries a screenshot to its end', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      const { mediaType, bytes } = await domain.screenshot();
      expect(mediaType).toBe('image/png');
      expect([...bytes.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
      expect(await refusalOf(domain.screenshot(7))).toEqual([
        ...[55, 10],
        'Requested operation is not valid: no such screen ID',
      ]);
    });
  });
}
