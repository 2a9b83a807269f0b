import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { dir } from 'tmp-promise';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type EmulatedHost, startEmulatedHost } from '../fakelibvirt/index.ts';

/** The error of a SEV guest too many, as libvirt 9.0 passes QEMU 7.2's words on. */
const NO_SLOT = /sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''/;
const SLOTS = 15;

let host: EmulatedHost;
let folder: { path: string; cleanup(): Promise<void> };
let count = 0;

beforeAll(async () => {
  folder = await dir({ unsafeCleanup: true, prefix: 'sevh-stock-' });
  host = await startEmulatedHost({ profile: 'naples' });
});
afterAll(async () => {
  await host.close();
  await folder.cleanup();
});

const environment = { env: { LC_ALL: 'C', VIRSH_HISTSIZE: '0' } };

const interactive = { ...environment, reject: false, timeout: 60_000 } as const;

/** Keeps what a running program prints, and waits for words in it. */
function watch<C extends { readonly stdout: NodeJS.ReadableStream }>(child: C) {
  let seen = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    for (const look of waiting) look();
  });
  const until = (words: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited for ${words}, saw: ${seen}`)), 15_000);
      const look = () => {
        if (!words.test(seen)) return;
        clearTimeout(timer);
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  return { child, until, seen: () => seen };
}

/** Runs stock virsh; resolves to what it printed, whatever its exit code is. */
async function virsh(...words: readonly string[]) {
  const options = { ...environment, reject: false, timeout: 20_000, stdin: 'ignore' } as const;
  const { stdout, stderr, exitCode } = await execa('virsh', ['-q', '-c', host.uri, ...words], options);
  return { stdout, stderr, exitCode };
}

/** What virsh printed, when it succeeded. */
async function printed(...words: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await virsh(...words);
  expect({ words, exitCode, stderr }).toEqual({ words, exitCode: 0, stderr: '' });
  return stdout.trim();
}

function sevXml(name: string, nvram = ''): string {
  return (
    `<domain type='kvm'><name>${name}</name><memory unit='MiB'>256</memory><memoryBacking><locked/></memoryBacking>` +
    "<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>" +
    `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>${nvram}</os>` +
    "<features><acpi/><apic/></features><devices><serial type='pty'/><memballoon model='none'/></devices>" +
    "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity></domain>"
  );
}

/** Defines a SEV guest, which is gone again when the test is over. */
async function defineGuest(): Promise<string> {
  count++;
  const name = `stock-${count}`;
  const file = path.join(folder.path, `${name}.xml`);
  await writeFile(file, sevXml(name));
  await printed('define', file);
  onTestFinished(async () => {
    await virsh('destroy', name);
    await virsh('undefine', '--nvram', name);
  });
  return name;
}

describe('stock virsh on the emulated host', () => {
  it('reads what the host is: uri, version, hostname, capabilities, domcapabilities, nodeinfo, nodesevinfo', async () => {
    expect(await printed('uri')).toBe(host.uri);
    expect(await printed('version')).toMatch(
      /Using library: libvirt .*\nUsing API: QEMU .*\nRunning hypervisor: QEMU 7\./,
    );
    expect(await printed('hostname')).toMatch(/^\S+$/);
    expect(await printed('capabilities')).toMatch(/^<capabilities>/);
    expect(await printed('domcapabilities')).toMatch(/<sev supported='yes'>[\s\S]*<maxGuests>15<\/maxGuests>/);
    expect(await printed('nodeinfo')).toMatch(/CPU model: +x86_64/);
    expect(await printed('nodesevinfo')).toMatch(/pdh +: \S+[\s\S]*cbitpos +: 47[\s\S]*max-guests +: 15/);
  });

  it('takes a guest through its life: define, start, domstate, resume, suspend, reset, reboot, shutdown, destroy, undefine', async () => {
    const name = await defineGuest();
    expect(await printed('domstate', '--reason', name)).toBe('shut off (unknown)');
    await printed('start', name, '--paused');
    expect(await printed('domstate', '--reason', name)).toBe('paused (user)');
    await printed('resume', name);
    expect(await printed('domstate', '--reason', name)).toBe('running (unpaused)');
    await printed('suspend', name);
    await printed('resume', name);
    for (const verb of ['reset', 'reboot', 'shutdown']) await printed(verb, name);
    await virsh('destroy', name);
    expect(await printed('domstate', name)).toBe('shut off');
    const kept = await virsh('undefine', name);
    expect(kept.stderr).toContain('cannot undefine domain with nvram');
    await printed('undefine', '--nvram', name);
    expect((await virsh('domstate', name)).stderr).toContain(`failed to get domain '${name}'`);
  });

  it('lists and names guests: list, dominfo, domid, domuuid, domname, dumpxml', async () => {
    const name = await defineGuest();
    expect(await printed('list', '--all')).toMatch(new RegExp(`- +${name} +shut off`));
    await printed('start', name);
    const id = await printed('domid', name);
    const uuid = await printed('domuuid', name);
    expect(await printed('list')).toMatch(new RegExp(`${id} +${name} +running`));
    expect(await printed('domname', id)).toBe(name);
    expect(await printed('domname', uuid)).toBe(name);
    expect(await printed('dominfo', name)).toMatch(
      /State: +running\n[\s\S]*Max memory: +262144 KiB\n[\s\S]*Persistent: +yes/,
    );
    const xml = await printed('dumpxml', name);
    expect(xml).toMatch(new RegExp(`^<domain type='kvm' id='${id}'>`));
    expect(xml).toMatch(/<launchSecurity type='sev'>[\s\S]*<policy>0x0003<\/policy>/);
  });

  it('reads numbers: domlaunchsecinfo, memtune, dommemstat, domstats, vcpucount', async () => {
    const name = await defineGuest();
    await printed('start', name);
    expect(await printed('domlaunchsecinfo', name)).toMatch(/^sev-measurement: \S{64}\n[\s\S]*sev-policy +: 3$/);
    expect(await printed('memtune', name)).toMatch(/hard_limit +: unlimited/);
    expect(await printed('dommemstat', name)).toMatch(/^actual 262144/);
    expect(await printed('domstats', name)).toMatch(/state\.state=1[\s\S]*balloon\.maximum=262144/);
    expect(await printed('vcpucount', name)).toMatch(/maximum +config +1/);
    expect(await printed('vcpucount', '--live', name)).toBe('1');
  });

  it('limits memory: memtune', async () => {
    const name = await defineGuest();
    await printed('start', name);
    await printed('memtune', name, '--hard-limit', '900000', '--soft-limit', '500M');
    expect(await printed('memtune', name)).toMatch(
      /^hard_limit +: 900000\nsoft_limit +: 512000\nswap_hard_limit: unlimited$/,
    );
    expect(await printed('memtune', name, '--config')).toMatch(/^hard_limit +: unlimited\n/);
    const refused = await virsh('memtune', name, '--swap-hard-limit', '800000');
    expect(refused.stderr).toContain('memory hard_limit tunable value must be lower than or equal to swap_hard_limit');
    await printed('memtune', name, '--hard-limit', '-1', '--live');
    expect(await printed('memtune', name)).toMatch(/^hard_limit +: unlimited\n/);
  });

  it('speaks to QEMU: query-status, query-sev, query-sev-capabilities', async () => {
    const name = await defineGuest();
    await printed('start', name);
    const ask = async (command: string) =>
      JSON.parse(await printed('qemu-monitor-command', name, JSON.stringify({ execute: command }))).return;
    expect(await ask('query-status')).toMatchObject({ status: 'running', running: true });
    expect(await ask('query-sev')).toMatchObject({ enabled: true, state: 'running', policy: 3 });
    expect(await ask('query-sev-capabilities')).toMatchObject({ cbitpos: 47, 'reduced-phys-bits': 1 });
    expect(await printed('qemu-monitor-command', '--hmp', name, 'info status')).toBe('VM status: running');
  });

  it('is told what a SEV guest cannot do: save, managedsave, snapshot-create-as', async () => {
    const name = await defineGuest();
    await printed('start', name);
    const blocked = 'Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented';
    expect((await virsh('save', name, path.join(folder.path, 'save'))).stderr).toContain(blocked);
    expect((await virsh('managedsave', name)).stderr).toContain(blocked);
    const snapshot = await virsh('snapshot-create-as', name, 's1');
    expect(snapshot.exitCode).toBe(1);
    expect(snapshot.stderr).toMatch(/^error: /m);
    expect(await printed('domstate', name)).toBe('running');
  });

  it('attaches a device', async () => {
    const name = await defineGuest();
    await printed('start', name);
    const file = path.join(folder.path, 'rng.xml');
    await writeFile(
      file,
      "<rng model='virtio'><backend model='random'>/dev/urandom</backend><driver iommu='on'/></rng>",
    );
    await printed('attach-device', name, file);
    expect(await printed('dumpxml', name)).toMatch(/<rng model='virtio'>/);
  });

  it('hears every event of a guest: event --all --loop', async () => {
    const name = await defineGuest();
    const listening = watch(execa('virsh', ['-c', host.uri, 'event', '--all', '--loop'], interactive));
    try {
      // virsh does not say when it has registered; it has when it hears of a guest that was defined later.
      const registered = listening.until(/Defined Added/);
      while (!listening.seen().includes('Defined Added')) await Promise.race([defineGuest(), registered]);
      await printed('start', name, '--paused');
      await printed('resume', name);
      await printed('destroy', name);
      await listening.until(new RegExp(`event 'lifecycle' for domain '${name}': Stopped Destroyed`));
    } finally {
      listening.child.kill('SIGINT');
      await listening.child;
    }
    const lifecycle = [...listening.seen().matchAll(/event 'lifecycle' for domain '([^']+)': (.+)/g)];
    expect(lifecycle.filter((match) => match[1] === name).map((match) => match[2])).toEqual([
      'Started Booted',
      'Suspended Paused',
      'Resumed Unpaused',
      'Shutdown Finished after host request',
      'Stopped Destroyed',
    ]);
  });

  it('reads the console of a guest that boots', async () => {
    const name = await defineGuest();
    await printed('start', name, '--paused');
    // virsh console wants a terminal; script(1) gives it one.
    const command = `virsh -c '${host.uri}' console ${name}`;
    const console = watch(execa('script', ['-qefc', command, '/dev/null'], interactive));
    try {
      await console.until(/Escape character/);
      await printed('resume', name);
      await console.until(/Escape character[^\n]*\n\s*\S/);
      console.child.stdin.write('\x1d');
      expect((await console.child).exitCode).toBe(0);
    } finally {
      console.child.kill();
    }
  });

  it('starts as many SEV guests as the host has slots; the next is refused in QEMU’s words and leaves the others alone', async () => {
    const own = await startEmulatedHost({ profile: 'naples' });
    onTestFinished(() => own.close());
    const on = (...words: string[]) =>
      execa('virsh', ['-q', '-c', own.uri, ...words], { ...environment, reject: false, stdin: 'ignore' });
    for (let index = 1; index <= SLOTS + 1; index++) {
      const file = path.join(folder.path, `slot-${index}.xml`);
      await writeFile(file, sevXml(`slot-${index}`));
      expect((await on('define', file)).exitCode).toBe(0);
      const started = await on('start', `slot-${index}`);
      expect([index, started.exitCode]).toEqual([index, index <= SLOTS ? 0 : 1]);
      if (index <= SLOTS) continue;
      expect(started.stderr).toContain(`error: Failed to start domain 'slot-${index}'`);
      expect(started.stderr).toMatch(NO_SLOT);
    }
    const running = (await on('list', '--name')).stdout.trim().split('\n');
    expect(running).toHaveLength(SLOTS);
    expect((await on('domstate', '--reason', `slot-${SLOTS + 1}`)).stdout.trim()).toBe('shut off (failed)');
    expect((await on('destroy', 'slot-1')).exitCode).toBe(0);
    expect((await on('start', `slot-${SLOTS + 1}`)).exitCode).toBe(0);
  });
});

describe('stock libvirt-python on the emulated host', () => {
  it('reads SEV facts, runs a guest, hears its events, and stays connected by keepalive', async () => {
    const script = fileURLToPath(new URL('stock-clients.py', import.meta.url));
    const { stdout } = await execa('/usr/bin/python3', [script, host.uri, sevXml('python-1', '')], environment);
    const found = JSON.parse(stdout);
    expect(found.type).toBe('QEMU');
    expect(found.sev).toMatchObject({ cbitpos: 47, 'reduced-phys-bits': 1, 'max-guests': 15 });
    expect(found.state).toEqual([3, 1]);
    expect(found.launch).toMatchObject({ 'sev-policy': 3, 'sev-measurement': expect.stringMatching(/^\S{64}$/) });
    expect(found.monitor).toBe('launch-secret');
    expect(found.info.slice(0, 4)).toEqual([1, 262144, 262144, 1]);
    expect(found.listed).toContain('python-1');
    expect(found.twice).toEqual([55, 10, 'Requested operation is not valid: domain is already running']);
    expect(found.alive).toBe(1);
    expect(found.events.filter((event: unknown[]) => event[0] === 'python-1')).toEqual([
      ['python-1', 0, 0],
      ['python-1', 2, 0],
      ['python-1', 3, 0],
      ['python-1', 4, 0],
      ['python-1', 6, 2],
      ['python-1', 5, 1],
      ['python-1', 1, 0],
    ]);
  });
});
