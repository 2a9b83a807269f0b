import { GuestConsole, GuestLauncher, type RunningGuest, randomBytesHex, scenario } from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const PAGE_BYTES = 4096;
const BOOT_TIMEOUT_MS = 60_000;

scenario(
  {
    id: 'memory-encryption',
    title: "A guest's private memory is ciphertext to its host, and what it shares is not",
    source: [
      `${NOVA}: "SEV protects data of a VM from attacks originating from outside the VM, including the hypervisor and other VMs"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'plain-guest-shows': {
        title: 'the same reading finds the canary in a guest without encryption: it could be found',
      },
      'shared-pages-show': { title: 'the canary is found in the pages that the encrypted guest shares' },
      'private-pages-hide': { title: 'the canary is not found in private pages, by any way of reading', source: NOVA },
      'addresses-differ': { title: 'two private pages with the same content do not look the same' },
      'guests-differ': { title: 'the same private page of two guests does not look the same', source: NOVA },
    },
  },
  async (context) => {
    const { host, step, check, skipCheck } = context;
    if (host.kind === 'real') {
      for (const id of [
        'plain-guest-shows',
        'shared-pages-show',
        'private-pages-hide',
        'addresses-differ',
        'guests-differ',
      ])
        skipCheck(id, 'no guest of ours boots on a real host yet to write the canary');
      return;
    }
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(3);
    const canaryHex = randomBytesHex(16);
    const boot = { kernel: '/boot/vmlinuz', cmdline: `console=ttyS0 sevh.canary=${canaryHex}` };
    const start = async (kind: 'plain' | 'sev', role: string) => {
      const guest = await launcher.launchOrFail(kind, role, { boot });
      await using printed = await GuestConsole.follow(guest);
      await printed.waitFor('canary', { timeoutMs: BOOT_TIMEOUT_MS, signal: context.signal });
      const place = (access: 'private' | 'shared') =>
        printed.all('canary-pages').find((pages) => pages.access === access)?.runs[0]?.at ?? 0;
      return { guest, privateAt: place('private'), sharedAt: place('shared') };
    };
    const routes: Record<string, (guest: RunningGuest, address: number) => Promise<Uint8Array>> = {
      'memory peek': ({ domain }, address) => domain.memoryPeek(address, PAGE_BYTES),
      pmemsave: async ({ domain, name }, address) => {
        const filename = `/var/lib/libvirt/qemu/${name}.page`;
        await domain.monitorCommand({ execute: 'pmemsave', arguments: { val: address, size: PAGE_BYTES, filename } });
        const reading = await host.shell.readFile(filename);
        return reading.outcome === 'read' ? reading.bytes : new Uint8Array();
      },
    };
    const foundBy = async (guest: RunningGuest, address: number) => {
      const found: string[] = [];
      for (const [name, read] of Object.entries(routes)) {
        if (Buffer.from(await read(guest, address)).includes(canaryHex, 0, 'hex')) found.push(name);
      }
      return found;
    };

    const all = Object.keys(routes);
    await step('read a guest without encryption', async () => {
      const plain = await start('plain', 'plain');
      check('plain-guest-shows', { expected: all, actual: await foundBy(plain.guest, plain.privateAt) });
      await plain.guest.stop();
    });
    await step('read two SEV guests', async () => {
      const [one, two] = [await start('sev', 'one'), await start('sev', 'two')];
      check('shared-pages-show', { expected: all, actual: await foundBy(one.guest, one.sharedAt) });
      check('private-pages-hide', { expected: [], actual: await foundBy(one.guest, one.privateAt) });
      const page = async ({ guest, privateAt }: typeof one, index: number) =>
        Buffer.from(await guest.domain.memoryPeek(privateAt + index * PAGE_BYTES, PAGE_BYTES));
      const first = await page(one, 0);
      check('addresses-differ', { expected: false, actual: first.equals(await page(one, 1)) });
      check('guests-differ', { expected: false, actual: first.equals(await page(two, 0)) });
      for (const { guest } of [one, two]) await guest.stop();
    });
  },
);
