import { chmod, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { withDir } from 'tmp-promise';
import { describe, expect, it } from 'vitest';
import { connect } from '../index.ts';
import { decodeValue } from '../protocol/codec.ts';
import { remoteProcedures } from '../protocol/libvirt.gen.ts';
import { coded, isCall, listenScripted, type ScriptedPeer } from '../testing/scripted-peer.ts';
import { sshArguments } from './ssh.ts';
import { parseLibvirtUri } from './uri.ts';

function argumentsOf(uri: string, readOnly = false): string[] {
  const target = parseLibvirtUri(uri);
  if (target.transport !== 'ssh') throw new Error('not an ssh URI');
  return sshArguments(target, readOnly);
}

async function grepPath(): Promise<string> {
  return (await execa('sh', ['-c', 'command -v grep'])).stdout;
}

async function script(file: string, text: string): Promise<string> {
  await writeFile(file, text);
  await chmod(file, 0o755);
  return file;
}

/**
 * A folder with a fake ssh, which writes down its arguments and runs the remote command here; beside it stand a
 * virt-ssh-helper and an nc that reach `peer`.
 */
async function withFakeSsh(
  peer: ScriptedPeer,
  programs: readonly string[],
  use: (command: string, log: (name: string) => Promise<string[]>) => Promise<void>,
): Promise<void> {
  await withDir(
    async ({ path: folder }) => {
      const log = async (name: string) => {
        const text = await readFile(path.join(folder, `${name}.log`), 'utf8').catch(() => '');
        return text.split('\0').slice(0, -1);
      };
      const record = (name: string) => `printf '%s\\0' "$@" > '${folder}/${name}.log'`;
      const ssh = `#!/bin/sh\n${record('ssh')}\nPATH='${folder}'\nexport PATH\nfor last; do :; done\nexec /bin/sh -c "$last"\n`;
      const pipe = `const s=require('net').connect(${JSON.stringify(peer.path)});process.stdin.pipe(s);s.pipe(process.stdout)`;
      await writeFile(path.join(folder, 'pipe.cjs'), pipe);
      await symlink('/bin/sh', path.join(folder, 'sh'));
      await symlink(await grepPath(), path.join(folder, 'grep'));
      for (const name of programs) {
        // Asked with a bare -q, a netcat says whether it knows the option.
        const probe = `if [ "$*" = -q ]; then echo "nc: option requires an argument -- 'q'"; exit 1; fi`;
        const body = `#!/bin/sh\n${probe}\n${record(name)}\nexec '${process.execPath}' '${folder}/pipe.cjs'\n`;
        await script(path.join(folder, name), body);
      }
      await use(await script(path.join(folder, 'fake-ssh'), ssh), log);
    },
    { unsafeCleanup: true },
  );
}

describe('sshArguments', () => {
  it('are those of libvirt’s own client', () => {
    const uri = 'qemu+ssh://root@lab7:2222/system?keyfile=/k&no_verify=1&no_tty=1&proxy=native';
    expect(argumentsOf(uri)).toEqual([
      ...['-p', '2222', '-l', 'root', '-i', '/k', '-T', '-e', 'none'],
      ...['-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '--', 'lab7'],
      `sh -c 'exec virt-ssh-helper '\\''qemu:///system'\\'''`,
    ]);
  });

  it('name the file of known keys, whatever characters its path has', () => {
    const file = encodeURIComponent(`/a b/100%/k"h`);
    const words = argumentsOf(`qemu+ssh://lab7/system?known_hosts=${file}&known_hosts_verify=auto`);
    expect(words.slice(3, 7)).toEqual([
      ...['-o', 'StrictHostKeyChecking=accept-new'],
      ...['-o', 'UserKnownHostsFile="/a b/100%%/k\\"h"'],
    ]);
  });

  it('name a link-local address with its interface as ssh takes it: without brackets, and with one %', () => {
    const words = argumentsOf('qemu+ssh://root@[fe80::1%25eth0]:2222/system');
    expect(words.slice(0, -1)).toEqual(['-p', '2222', '-l', 'root', '-T', '-e', 'none', '--', 'fe80::1%eth0']);
  });

  it('reach the QEMU daemon where the URI asks for it', () => {
    expect(argumentsOf('qemu+ssh://lab7/system?mode=direct').at(-1)).toContain('/var/run/libvirt/virtqemud-sock');
    expect(argumentsOf('qemu+ssh://lab7/system').at(-1)).toContain('/var/run/libvirt/libvirt-sock');
  });

  it('ask for the read-only socket when the connection is', () => {
    expect(argumentsOf('qemu+ssh://lab7/system?proxy=native', true).at(-1)).toContain('virt-ssh-helper -r ');
    expect(argumentsOf('qemu+ssh://lab7/system?proxy=netcat', true).at(-1)).toContain('/libvirt-sock-ro');
  });
});

describe('a connection through ssh', () => {
  it('runs virt-ssh-helper with the URI where there is one', async () => {
    await using peer = await listenScripted(() => 'default');
    await withFakeSsh(peer, ['virt-ssh-helper', 'nc'], async (command, log) => {
      await using connection = await connect(`qemu+ssh://root@lab7/system?command=${command}`);
      expect(connection.isOpen).toBe(true);
      expect(await log('virt-ssh-helper')).toEqual(['qemu:///system']);
      expect((await log('ssh')).slice(0, 7)).toEqual(['-l', 'root', '-T', '-e', 'none', '--', 'lab7']);
      const open = peer.sessions[0]?.received.find((message) => isCall(message, remoteProcedures.connectOpen));
      expect(decodeValue(remoteProcedures.connectOpen.args, open?.body ?? new Uint8Array(0)).name).toBe(
        'qemu:///system',
      );
    });
  });

  it('falls back to netcat on the system’s socket where there is none', async () => {
    await using peer = await listenScripted(() => 'default');
    await withFakeSsh(peer, ['nc'], async (command, log) => {
      await using connection = await connect(`qemu+ssh://lab7/system?command=${command}`);
      expect(connection.isOpen).toBe(true);
      expect(await log('nc')).toEqual(['-q0', '-U', '/var/run/libvirt/libvirt-sock']);
    });
  });

  it('keeps a socket path with spaces and quotes whole', async () => {
    await using peer = await listenScripted(() => 'default');
    await withFakeSsh(peer, ['nc'], async (command, log) => {
      const socket = `/a b/it's $HOME;"x"`;
      const uri = `qemu+ssh://lab7/system?socket=${encodeURIComponent(socket)}&command=${command}`;
      await using connection = await connect(uri);
      expect(connection.isOpen).toBe(true);
      expect(await log('nc')).toEqual(['-q0', '-U', socket]);
    });
  });

  it('that fails says what ssh printed', async () => {
    await withDir(
      async ({ path: folder }) => {
        const body =
          '#!/bin/sh\necho "ssh: connect to host lab7 port 22:" >&2\necho "No route to host" >&2\nexit 255\n';
        const command = await script(path.join(folder, 'fake-ssh'), body);
        const error = coded(
          await connect(`qemu+ssh://lab7/system?command=${command}`).catch((reason: unknown) => reason),
        );
        expect(error.code).toBe('LIBVIRT_CONNECT');
        expect(error.message).toContain(
          'ended with exit code 255: ssh: connect to host lab7 port 22:; No route to host',
        );
      },
      { unsafeCleanup: true },
    );
  });

  it('that is cut later says what ssh printed', async () => {
    await using peer = await listenScripted((message, session) => {
      if (!isCall(message, remoteProcedures.connectGetHostname)) return 'default';
      session.socket.destroy();
      return undefined;
    });
    await withFakeSsh(peer, ['virt-ssh-helper'], async (command) => {
      await using connection = await connect(`qemu+ssh://lab7/system?command=${command}`);
      const error = coded(await connection.hostname().catch((reason: unknown) => reason));
      expect(error.code).toBe('LIBVIRT_CONNECTION_LOST');
      expect(error.message).toContain('to lab7');
    });
  });

  it('with a command that does not exist says so', async () => {
    const error = coded(
      await connect('qemu+ssh://lab7/system?command=/nonexistent/ssh').catch((reason: unknown) => reason),
    );
    expect(error.code).toBe('LIBVIRT_CONNECT');
    expect(error.message).toContain("cannot run '/nonexistent/ssh'");
  });
});
