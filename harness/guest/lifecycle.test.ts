import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';

let host: Host;
let launcher: GuestLauncher;
let cleanup: CleanupStack;
let abort: AbortController;

beforeEach(async () => {
  host = await openHost({ kind: 'emulated', text: 'fake:naples', profile: 'naples' });
  cleanup = new CleanupStack();
  abort = new AbortController();
  const settings = { owner: currentOwner(createRunId(1, 'c1c1e')) };
  const facts = await readSevFacts(host);
  launcher = new GuestLauncher({ host, facts, settings, cleanup, signal: abort.signal, nowMs: () => 0 });
});
afterEach(() => host.close());

const domains = async () => (await host.connection.listDomains()).map(({ name }) => name);

describe('a paused guest', () => {
  it('hands a secret to the firmware, which judges it', async () => {
    const guest = await launcher.launchOrFail('sev', 'paused', { isPaused: true });
    expect(await guest.currentState()).toBe('paused');
    const packet = { header: Buffer.alloc(52).toString('base64'), secret: Buffer.alloc(32).toString('base64') };
    await expect(guest.injectSecret(packet, 0x80d000)).rejects.toThrow(/failed to inject secret ret=-?\d+ fw_error=/);
  });

  it('runs when it is resumed, and has a power button then', async () => {
    const paused = await launcher.launchOrFail('sev', 'paused', { isPaused: true });
    const running = await paused.resume();
    expect(await running.currentState()).toBe('running');
    expect(await running.powerOff({ timeoutMs: 10_000 })).toEqual({ name: paused.name, kind: 'sev' });
    expect(await running.currentState()).toBe('gone');
    expect(cleanup.pending()).toEqual([]);
  });
});

describe('a running guest', () => {
  it('is not waited for any more when the run is interrupted', async () => {
    const guest = await launcher.launchOrFail('plain', 'interrupted');
    abort.abort(new Error('Ctrl-C'));
    await expect(guest.powerOff({ timeoutMs: 10_000 })).rejects.toThrow('Ctrl-C');
  });

  it('is gone once it is stopped, and to stop it again is no error', async () => {
    const guest = await launcher.launchOrFail('plain', 'twice');
    expect(await guest.stop()).toEqual({ name: guest.name, kind: 'plain' });
    await guest.stop();
    expect(await guest.currentState()).toBe('gone');
  });
});

it('a guest whose QEMU this user may not kill runs on, with the reason', async () => {
  const outOfReach = 'process 7 belongs to another user';
  vi.spyOn(host.shell, 'kill').mockResolvedValue({ outOfReach });
  const guest = await launcher.launchOrFail('sev', 'spared');
  expect(await guest.kill()).toEqual({ outOfReach });
  expect(await guest.currentState()).toBe('running');
});

describe('a defined guest', () => {
  it('can be started again after it was stopped, until it is undefined with its NVRAM', async () => {
    const defined = await launcher.defineGuest('plain', 'defined', { firmware: 'nvram' });
    expect(await defined.domain.xml()).toMatch(/<nvram template='[^']*OVMF_VARS_4M\.fd'>/);
    await (await defined.startPaused()).stop();
    const running = await defined.start();
    expect(await running.currentState()).toBe('running');
    await running.stop();
    expect(await running.currentState()).toBe('shutoff');
    await defined.undefine();
    expect(await domains()).toEqual([]);
  });

  it('goes with its scenario, whatever state it is in', async () => {
    const defined = await launcher.defineGuest('sev', 'left');
    await defined.start();
    expect(await domains()).toEqual([defined.name]);
    expect(await cleanup.run()).toEqual([]);
    expect(await domains()).toEqual([]);
  });
});
