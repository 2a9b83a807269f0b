import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { withDir } from 'tmp-promise';
import { describe, expect, it } from 'vitest';
import { connect } from '../index.ts';
import { coded } from '../testing/scripted-peer.ts';
import { socketPaths, unixFailure } from './unix.ts';

const system = { uri: 'qemu:///system', session: false, socket: undefined, mode: 'auto' } as const;
const session = { ...system, uri: 'qemu:///session', session: true } as const;

async function failure(uri: string) {
  const error = await connect(uri, { callTimeoutMs: 2000 }).catch((reason: unknown) => reason);
  return coded(error);
}

describe('socketPaths', () => {
  it('looks for the monolithic and the modular daemon of the system', () => {
    expect(socketPaths(system, false, {})).toEqual([
      '/run/libvirt/libvirt-sock',
      '/run/libvirt/virtqemud-sock',
      '/var/run/libvirt/libvirt-sock',
      '/var/run/libvirt/virtqemud-sock',
    ]);
    expect(socketPaths({ ...system, mode: 'legacy' }, true, {})).toEqual([
      '/run/libvirt/libvirt-sock-ro',
      '/var/run/libvirt/libvirt-sock-ro',
    ]);
  });

  it('looks for the user’s daemon where the environment says', () => {
    expect(socketPaths(session, false, { XDG_RUNTIME_DIR: '/run/user/7' })).toEqual([
      '/run/user/7/libvirt/libvirt-sock',
      '/run/user/7/libvirt/virtqemud-sock',
    ]);
    expect(socketPaths({ ...session, mode: 'direct' }, true, { HOME: '/home/a' })).toEqual([
      '/home/a/.cache/libvirt/virtqemud-sock',
    ]);
  });

  it('takes the socket it is given and no other', () => {
    expect(socketPaths({ ...system, socket: '/s' }, true, {})).toEqual(['/s']);
  });
});

describe('a unix socket that cannot be used', () => {
  it('is named with the reason and what to do when it is missing', async () => {
    const error = await failure('qemu+unix:///system?socket=/nonexistent/libvirt-sock');
    expect(error.code).toBe('LIBVIRT_CONNECT');
    expect(error.message).toBe(
      "cannot connect to 'qemu+unix:///system?socket=/nonexistent/libvirt-sock': /nonexistent/libvirt-sock: no such socket",
    );
    expect(error.hint).toContain('socket=');
  });

  it('is named when nobody listens, when it is a file, and when its path is too long', async () => {
    await withDir(
      async ({ path: folder }) => {
        const stale = path.join(folder, 'stale');
        const server = createServer();
        await new Promise<void>((resolve) => {
          server.listen(stale, resolve);
        });
        const file = path.join(folder, 'file');
        await writeFile(file, '');
        expect((await failure(`qemu:///system?socket=${file}`)).message).toMatch(/nobody is listening|not a socket/);
        const long = path.join(folder, 'x'.repeat(120));
        expect((await failure(`qemu:///system?socket=${long}`)).message).toMatch(/too long|no such socket/);
        await new Promise((resolve) => {
          server.close(resolve);
        });
        expect((await failure(`qemu:///system?socket=${stale}`)).message).toMatch(/no such socket|nobody is listening/);
      },
      { unsafeCleanup: true },
    );
  });

  it('is named with the daemon to start, and nothing that a verb like reap could not use', () => {
    const missing = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' });
    const error = unixFailure(system, [{ path: '/run/libvirt/libvirt-sock', error: missing }]);
    expect(error.hint).toBe('Start libvirtd or virtqemud: systemctl start libvirtd.');
  });

  it('is named with the group to join when it is not ours', () => {
    const denied = Object.assign(new Error('connect EACCES /run/libvirt/libvirt-sock'), { code: 'EACCES' });
    const missing = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' });
    const error = unixFailure(system, [
      { path: '/run/libvirt/libvirt-sock', error: denied },
      { path: '/run/libvirt/virtqemud-sock', error: missing },
    ]);
    expect(error.message).toBe(
      "cannot connect to 'qemu:///system': /run/libvirt/libvirt-sock: permission denied; " +
        '/run/libvirt/virtqemud-sock: no such socket',
    );
    expect(error.hint).toContain('group');
    expect(error.kind).toBe('environment');
  });
});
