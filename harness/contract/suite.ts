import { afterAll, beforeAll, describe } from 'vitest';
import { describeConnecting } from './connecting.ts';
import { describeData } from './data.ts';
import { describeGuests } from './guests.ts';
import { describeRefusals } from './refusals.ts';
import { ContractHost, type ContractTarget } from './target.ts';

/**
 * The promises that every host keeps, real or emulated: the same calls, the same answers, error codes, domains and texts.
 *
 * What hosts cannot help doing differently is in `ContractTarget`, and nowhere else:
 *
 * | Difference | Why |
 * | --- | --- |
 * | `hostUri` | a session daemon serves qemu:///session, the emulated host stands for a system daemon |
 * | `knowsSev` | SEV needs AMD hardware or the emulator; a host without it must say so in libvirt's words |
 * | `hasMemoryTuning` | memory tunables are cgroup files, and a session daemon may not have cgroups |
 * | libxml2's words after `(domain_definition):1: ` | the emulated host has another XML parser |
 * | versions, hostname, sizes, what a console prints | they are facts of the machine |
 *
 * libvirt's test driver (test:///default) is not a target: it lives inside libvirt.so of whoever opens it, without a socket.
 */
export function describeHostContract(target: ContractTarget): void {
  describe(target.title, () => {
    let opened: ContractHost | undefined;
    const host = () => {
      if (opened === undefined) throw new Error(`${target.title} was not started`);
      return opened;
    };
    beforeAll(async () => {
      opened = await ContractHost.open(target);
    });
    afterAll(async () => {
      await opened?.close();
    });
    describeConnecting(host);
    describeGuests(host);
    describeRefusals(host);
    describeData(host);
  });
}
