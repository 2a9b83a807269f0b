import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ContractHost } from './target.ts';

const STARTED_PAUSED = ['on: started booted', 'on: suspended paused'];
/** libvirt resumes a new guest before it says that it has started. */
const STARTED = ['on: resumed unpaused', 'on: started booted'];
const DESTROYED = ['on: shutdown finished after host request', 'off: stopped destroyed'];

export function describeGuests(host: () => ContractHost): void {
  describe('a guest', () => {
    it('goes from defined to undefined through paused and running, with the states, reasons and events of libvirt', async () => {
      const domain = await host().define();
      expect([domain.id, await domain.isActive(), await domain.isPersistent()]).toEqual([-1, false, true]);
      expect(await domain.state()).toEqual({ state: 'shutoff', reason: 'unknown' });

      await domain.start({ paused: true });
      expect(domain.id).toBeGreaterThan(0);
      expect(await domain.state()).toEqual({ state: 'paused', reason: 'user' });

      await domain.resume();
      expect(await domain.state()).toEqual({ state: 'running', reason: 'unpaused' });
      await domain.suspend();
      await domain.suspend();
      expect(await domain.state()).toEqual({ state: 'paused', reason: 'user' });
      await domain.resume();

      await domain.destroy();
      expect(await domain.state()).toEqual({ state: 'shutoff', reason: 'destroyed' });
      await domain.undefine();
      expect(await host().eventsOf(domain, 'off: undefined removed')).toEqual([
        'off: defined added',
        ...STARTED_PAUSED,
        'on: resumed unpaused',
        'on: suspended paused',
        'on: resumed unpaused',
        ...DESTROYED,
        'off: undefined removed',
      ]);
    });

    it('started without a pause runs as booted, and is the same from every side', async () => {
      const { connection } = host();
      const domain = await host().define();
      await domain.start();
      expect(await domain.state()).toEqual({ state: 'running', reason: 'booted' });
      const found = [
        await connection.lookupByName(domain.name),
        await connection.lookupByUuid(domain.uuid),
        await connection.lookupById(domain.id),
      ];
      for (const other of found) {
        expect([other.name, other.uuid, other.id]).toEqual([domain.name, domain.uuid, domain.id]);
      }
      await domain.destroy();
      const seen = await host().eventsOf(domain, 'off: stopped destroyed');
      expect(seen).toEqual(['off: defined added', ...STARTED, ...DESTROYED]);
    });

    it('keeps running when it is reset, asked to reboot and asked to shut down, having nothing that listens', async () => {
      const domain = await host().define();
      await domain.start();
      await domain.reset();
      await domain.reboot();
      await domain.shutdown();
      expect((await domain.state()).state).toBe('running');
    });

    it('can be destroyed before it ever ran', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      await domain.destroy();
      const seen = await host().eventsOf(domain, 'off: stopped destroyed');
      expect(seen).toEqual(['off: defined added', ...STARTED_PAUSED, ...DESTROYED]);
    });

    it('gets a new id each time it starts', async () => {
      const domain = await host().define();
      await domain.start({ paused: true });
      const first = domain.id;
      await domain.destroy();
      expect(domain.id).toBe(-1);
      await domain.start({ paused: true });
      expect(domain.id).toBeGreaterThan(first);
    });

    it('that was never defined is gone when it ends', async () => {
      const { connection } = host();
      const name = host().freshName();
      const domain = await connection.createDomain(host().xml(name), { paused: true });
      host().removeAfterwards(domain);
      expect(await domain.state()).toEqual({ state: 'paused', reason: 'user' });
      expect(await domain.isPersistent()).toBe(false);
      await domain.destroy();
      expect(await host().eventsOf(domain, 'off: stopped destroyed')).toEqual([...STARTED_PAUSED, ...DESTROYED]);
      expect((await connection.listDomains()).map((other) => other.name)).not.toContain(name);
    });

    it('defined while it runs stays when it ends, and undefined while it runs goes when it ends', async () => {
      const { connection } = host();
      const xml = host().xml(host().freshName());
      const domain = await connection.createDomain(xml, { paused: true });
      host().removeAfterwards(domain);
      await connection.defineDomain(xml);
      expect(await domain.isPersistent()).toBe(true);
      await domain.undefine();
      expect([await domain.isPersistent(), await domain.isActive()]).toEqual([false, true]);
      expect(await host().eventsOf(domain, 'on: undefined removed')).toEqual([
        ...STARTED_PAUSED,
        'on: defined added',
        'on: undefined removed',
      ]);
    });

    it('defined again under the same name and uuid is updated', async () => {
      const name = host().freshName();
      const uuid = randomUUID();
      const domain = await host().define(name, uuid);
      await host().connection.defineDomain(host().xml(name, { uuid }));
      expect(await host().eventsOf(domain, 'off: defined updated')).toEqual([
        'off: defined added',
        'off: defined updated',
      ]);
    });

    it('ends with the connection that created it to be destroyed automatically', async () => {
      const { connect } = await import('../libvirt/index.ts');
      const other = await connect(host().uri);
      const domain = await other.createDomain(host().xml(host().freshName()), { paused: true, autodestroy: true });
      host().removeAfterwards(await host().connection.lookupByUuid(domain.uuid));
      await other.close();
      const seen = await host().eventsOf(domain, 'off: stopped destroyed');
      expect(seen.slice(0, 2)).toEqual(STARTED_PAUSED);
    });

    it('is listed as active or inactive', async () => {
      const { connection } = host();
      const idle = await host().define();
      const busy = await host().define();
      await busy.start({ paused: true });
      const names = async (wanted: Parameters<typeof connection.listDomains>[0]) =>
        (await connection.listDomains(wanted)).map((domain) => domain.name);
      expect(await names({})).toEqual(expect.arrayContaining([idle.name, busy.name]));
      expect(await names({ active: true })).toContain(busy.name);
      expect(await names({ active: true })).not.toContain(idle.name);
      expect(await names({ inactive: true })).toContain(idle.name);
      expect(await names({ inactive: true })).not.toContain(busy.name);
    });

    it('can be one of sixteen that are started paused at once', async () => {
      const domains = await Promise.all(Array.from({ length: 16 }, () => host().define()));
      await Promise.all(domains.map((domain) => domain.start({ paused: true })));
      const states = await Promise.all(domains.map((domain) => domain.state()));
      expect(states).toEqual(domains.map(() => ({ state: 'paused', reason: 'user' })));
      expect(new Set(domains.map((domain) => domain.id)).size).toBe(16);
      await Promise.all(domains.map((domain) => domain.destroy()));
      for (const domain of domains) {
        const seen = await host().eventsOf(domain, 'off: stopped destroyed');
        expect(seen).toEqual(['off: defined added', ...STARTED_PAUSED, ...DESTROYED]);
      }
    });
  });
}
