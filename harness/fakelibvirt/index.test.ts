import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { emulatorProcedures, remoteProcedures as remote } from '../libvirt/protocol/libvirt.gen.ts';
import { startEmulatedHost } from './index.ts';
import { TestClient } from './server/test-client.ts';
import { guestXml, SEV_POLICY } from './server/test-guests.ts';

describe('starting and stopping the emulated host', () => {
  test('a socket that cannot be had is one clear error; a host closes twice and leaves no file', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'sev-test-'));
    try {
      const socketPath = path.join(directory, 's');
      await writeFile(socketPath, '');
      await expect(startEmulatedHost({ profile: 'naples', socketPath })).rejects.toMatchObject({
        code: 'EMULATOR_SOCKET_UNUSABLE',
        details: { code: 'EADDRINUSE' },
        message: `cannot listen on '${socketPath}': a file is there, which is no socket`,
        hint: expect.not.stringContaining('remove'),
      });
      const inFolder = (socketPath: string) => startEmulatedHost({ profile: 'naples', socketPath });
      await expect(inFolder('/nonexistent/s')).rejects.toMatchObject({
        code: 'EMULATOR_SOCKET_UNUSABLE',
        message: "cannot listen on '/nonexistent/s': the folder /nonexistent does not exist",
      });
      await expect(inFolder(`${socketPath}/s`)).rejects.toThrow(`${socketPath} is no folder`);
      const own = await startEmulatedHost({ profile: 'naples' });
      await expect(inFolder(own.socketPath)).rejects.toMatchObject({
        hint: expect.stringContaining('remove the file'),
      });
      await own.close();
      await own.close();
      await expect(TestClient.connect(own.socketPath)).rejects.toThrow(/ENOENT/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('closing hangs up on clients', async () => {
    const own = await startEmulatedHost({ profile: 'naples' });
    const attached = await TestClient.open(own.socketPath);
    await own.close();
    await attached.closed;
  });

  test.each([0, 1.5, -1, 70000])('maxAsidOverride %d is refused', async (maxAsidOverride) => {
    await expect(startEmulatedHost({ profile: 'naples', maxAsidOverride })).rejects.toMatchObject({
      code: 'EMULATOR_OPTION_INVALID',
    });
  });

  test('a different number of ASIDs is advertised and enforced', async () => {
    await using own = await startEmulatedHost({ profile: 'naples', maxAsidOverride: 2 });
    await using at = await TestClient.open(own.socketPath);
    const start = (name: string) =>
      at.call(remote.domainCreateXml, { xmlDesc: guestXml(name, { policy: SEV_POLICY }), flags: 0 });
    await start('a');
    await start('b');
    await expect(start('c')).rejects.toMatchObject({ code: 1 });
    const path_ = '/sys/fs/cgroup/misc.capacity';
    const { content } = await at.call(emulatorProcedures.readFile, { path: path_, offset: 0n, length: 99 });
    expect(Buffer.from(content).toString()).toBe('sev 2\n');
  });
});
