import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Keepalive } from './keepalive.ts';

describe('Keepalive', () => {
  let said: string[];
  let keepalive: Keepalive;

  beforeEach(() => {
    vi.useFakeTimers();
    said = [];
    keepalive = new Keepalive(
      { intervalMs: 1000, count: 2 },
      { ping: () => said.push('ping'), dead: (silentMs) => said.push(`dead after ${silentMs}`) },
    );
  });
  afterEach(() => {
    keepalive.stop();
    vi.useRealTimers();
  });

  it('asks a silent peer as often as told, then gives it up, once', () => {
    vi.advanceTimersByTime(20_000);
    expect(said).toEqual(['ping', 'ping', 'dead after 3000']);
  });

  it('does not ask a peer that talks', () => {
    for (let second = 0; second < 20; second++) {
      keepalive.alive();
      vi.advanceTimersByTime(1000);
    }
    expect(said).toEqual([]);
  });

  it('begins to count anew whenever the peer says something', () => {
    vi.advanceTimersByTime(2000);
    keepalive.alive();
    vi.advanceTimersByTime(3000);
    expect(said).toEqual(['ping', 'ping', 'ping', 'ping']);
    vi.advanceTimersByTime(1000);
    expect(said.at(-1)).toBe('dead after 3000');
  });

  it('says nothing after it was stopped', () => {
    keepalive.stop();
    vi.advanceTimersByTime(20_000);
    expect(said).toEqual([]);
  });
});
