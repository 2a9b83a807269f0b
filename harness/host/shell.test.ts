import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type HostShell, shellOf } from './shell.ts';
import { forAnyLoginShell } from './shell-commands.ts';

let folder: string;
/** What `command=` of a libvirt URI can name: an ssh that runs its last word here. */
let fakeSsh: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-shell-'));
  fakeSsh = path.join(folder, 'fake-ssh');
  await writeFile(fakeSsh, '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n');
  await chmod(fakeSsh, 0o700);
  await writeFile(path.join(folder, "it's a file"), 'first\nsecond\n');
  await chmod(path.join(folder, "it's a file"), 0o640);
  await writeFile(path.join(folder, 'large'), 'x'.repeat(600_000));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** An ssh that logs in as a user who is neither root nor anybody whose processes or files matter. */
async function sshAsNobody(name: string): Promise<{ shell: HostShell; file: string }> {
  const file = path.join(folder, name);
  const drop = 'test "$(id -u)" = 0 && exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$last"';
  await writeFile(file, `#!/bin/sh\nfor last; do :; done\n${drop}\nexec sh -c "$last"\n`);
  await chmod(file, 0o700);
  return { file, shell: shellOf(`qemu+ssh://lab7/system?command=${encodeURIComponent(file)}`) };
}

const shells: [string, () => HostShell][] = [
  ['local', () => shellOf('qemu:///system')],
  ['ssh', () => shellOf(`qemu+ssh://lab7/system?command=${encodeURIComponent(fakeSsh)}`)],
];

function textOf(reading: Awaited<ReturnType<HostShell['readFile']>>): string {
  return reading.outcome === 'read' ? Buffer.from(reading.bytes).toString() : reading.outcome;
}

describe.each(shells)('the shell of a host, %s', (_, open) => {
  it('reads several files in their order, absent ones too', async () => {
    const paths = [path.join(folder, 'nothing'), path.join(folder, "it's a file"), path.join(folder, 'large')];
    const readings = await open().readFiles(paths);
    expect(readings.map((reading) => textOf(reading).slice(0, 20))).toEqual([
      'absent',
      'first\nsecond\n',
      'x'.repeat(20),
    ]);
    expect(textOf(readings[2] ?? { outcome: 'absent' })).toHaveLength(600_000);
    expect(await open().readFiles([])).toEqual([]);
  });

  it('reads a file to its last byte, and a part of it', async () => {
    const file = path.join(folder, "it's a file");
    expect(textOf(await open().readFile(file))).toBe('first\nsecond\n');
    expect(textOf(await open().readFile(file, { offset: 2, length: 4 }))).toBe('rst\n');
    expect(textOf(await open().readFile(path.join(folder, 'nothing')))).toBe('absent');
  });

  it('reads whole files of /proc, which give a page at a time', async () => {
    const [version, filesystems] = await open().readFiles(['/proc/version', '/proc/kallsyms']);
    expect(textOf(version ?? { outcome: 'absent' })).toMatch(/^Linux version .*\n$/);
    expect(textOf(filesystems ?? { outcome: 'absent' }).length).toBeGreaterThan(8192);
  });

  it('a folder is unreadable as a file, not absent', async () => {
    const [reading] = await open().readFiles([folder]);
    expect(reading).toMatchObject({ outcome: 'unreadable', because: expect.stringMatching(/directory/i) });
  });

  it('tells mode and owner of a file', async () => {
    const reading = await open().stat(path.join(folder, "it's a file"));
    expect(reading).toMatchObject({ outcome: 'read', stat: { mode: 0o640, owner: expect.stringMatching(/^\S+$/) } });
    expect(await open().stat(path.join(folder, 'nothing'))).toEqual({ outcome: 'absent' });
  });

  it('lists a folder', async () => {
    const reading = await open().listFolder(folder);
    expect(reading.outcome === 'read' && [...reading.names].sort()).toEqual(['fake-ssh', "it's a file", 'large']);
    expect(await open().listFolder(path.join(folder, 'nothing'))).toEqual({ outcome: 'absent' });
  });

  it('runs a command with its words unchanged', async () => {
    expect(textOf(await open().run(['printf', '%s|', "a b'c", '$HOME', '']))).toBe("a b'c|$HOME||");
  });

  it('kills a process, and one that is gone is no error', async () => {
    const child = execa('sleep', ['600'], { reject: false });
    expect(await open().kill(child.pid ?? 0)).toBeUndefined();
    expect(await child).toMatchObject({ signal: 'SIGKILL' });
    expect(await open().kill(child.pid ?? 0)).toBeUndefined();
  });

  it('a program that the host does not have is absent, one that fails unreadable with its words', async () => {
    expect(await open().run(['sevh-no-such-program'])).toEqual({ outcome: 'absent' });
    expect(await open().run(['sh', '-c', 'echo why >&2; exit 3'])).toEqual({ outcome: 'unreadable', because: 'why' });
  });
});

describe('a script for a host whose login shell may be any', () => {
  const scripts: [string, string, string, number][] = [
    ['quotes of all kinds', `printf '%s|' "it's" 'a "b"' a\\'b \`echo c\``, `it's|a "b"|a'b|c|`, 0],
    ['several lines', 'if true\nthen echo one\nfi\n\n# a comment\necho "two\n"\n', 'one\ntwo\n\n', 0],
    ['what csh takes for history', `echo 'wow!' "!!" !x`, 'wow! !! !x\n', 0],
    ['variables and arguments', `x='$HOME'; echo "$x" \${x#?} $# "$0"`, '$HOME HOME 0 sh\n', 0],
    ['characters that are no ASCII', "printf 'Grüße, 世界 €'", 'Grüße, 世界 €', 0],
    ['what other shells expand', `echo '*' {a,b} ~nobody-there ^x %1`, '* {a,b} ~nobody-there ^x %1\n', 0],
    ['an exit code of its own', 'echo before; exit 42; echo after', 'before\n', 42],
    ['a command that fails last', 'echo before; false', 'before\n', 1],
    ['a program in its place', 'exec sh -c "exit 7"', '', 7],
    ['an input', 'read -r first; echo "<$first>"; exec cat', '<one>\ntwo\nthree', 0],
  ];

  it.each(scripts)('is run as it stands: %s', async (_, script, stdout, exitCode) => {
    const words = forAnyLoginShell(script);
    // One pair of single quotes, and in it nothing that ends or escapes it, or that csh and fish read there.
    expect(words).toMatch(/^[a-z -]+'[^'\\!\n\r]*'$/);
    const result = await execa('sh', ['-c', words], {
      reject: false,
      input: 'one\ntwo\nthree',
      stripFinalNewline: false,
    });
    expect([result.stdout, result.stderr, result.exitCode]).toEqual([stdout, '', exitCode]);
  });
});

it('a host without base64 answers nothing, and says why', async () => {
  const bin = path.join(folder, 'bin');
  await mkdir(bin);
  const bare = path.join(folder, 'fake-ssh-bare');
  await writeFile(bare, `#!/bin/sh\nfor last; do :; done\nPATH='${bin}' exec /bin/sh -c "$last"\n`, { mode: 0o700 });
  await symlink('/bin/sh', path.join(bin, 'sh'));
  const shell = shellOf(`qemu+ssh://lab7/system?command=${encodeURIComponent(bare)}`);
  const why = { outcome: 'unreadable', because: expect.stringContaining('base64: not found') };
  expect(await shell.readFile('/proc/version')).toEqual(why);
  expect(await shell.stat('/dev/sev')).toEqual(why);
  expect(await shell.run(['dmesg'])).toEqual(why);
  await expect(shell.kill(1)).rejects.toMatchObject({ code: 'HOST_SHELL' });
  await rm(bare);
  await rm(bin, { recursive: true });
});

describe('as a user who may not enter a folder', () => {
  it('a file in it is unreadable through ssh, not absent', async () => {
    const closed = path.join(folder, 'closed');
    await mkdir(closed);
    await writeFile(path.join(closed, 'file'), 'x');
    await chmod(closed, 0);
    const { shell, file: asNobody } = await sshAsNobody('fake-ssh-nobody');
    const file = path.join(closed, 'file');
    const denied = { outcome: 'unreadable', because: expect.stringContaining('Permission denied') };
    expect(await shell.readFiles([file, '/no-such-folder/file', '/proc/version/file'])).toEqual([
      denied,
      { outcome: 'absent' },
      { outcome: 'absent' },
    ]);
    expect(await shell.readFile(file)).toEqual(denied);
    expect(await shell.readFile(file, { offset: 0, length: 1 })).toEqual(denied);
    expect(await shell.stat(file)).toEqual(denied);
    expect(await shell.listFolder(closed)).toEqual(denied);
    expect(await shell.readFile('/no-such-folder/file', { offset: 0, length: 1 })).toEqual({ outcome: 'absent' });
    await rm(asNobody);
    await rm(closed, { recursive: true });
  });
});

describe('as a user who may not kill a process', () => {
  const outOfReach = expect.stringMatching(/^process 1 belongs to another user.*: run as root on the host/);

  it('its end is out of reach through ssh, where it is not taken for gone', async () => {
    const { shell, file } = await sshAsNobody('fake-ssh-no-killer');
    expect(await shell.kill(1)).toEqual({ outOfReach });
    await rm(file);
  });

  it('its end is out of reach on this machine', async () => {
    using _ = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    expect(await shellOf('qemu:///system').kill(1)).toEqual({ outOfReach });
  });
});

describe('hosts without a shell', () => {
  it('behind TCP say for every question that they cannot be looked at', async () => {
    const shell = shellOf('qemu+tcp://lab7/system');
    const answers = [await shell.stat('/dev/sev'), await shell.listFolder('/'), await shell.run(['dmesg'])];
    for (const answer of [...answers, ...(await shell.readFiles(['/proc/version']))])
      expect(answer).toMatchObject({ outcome: 'unreadable', because: expect.stringContaining('tcp') });
  });

  it('behind an ssh that fails are unreadable with its words, never absent', async () => {
    const broken = path.join(folder, 'fake-ssh-broken');
    await writeFile(broken, '#!/bin/sh\necho "Host key verification failed." >&2\nexit 255\n');
    await chmod(broken, 0o700);
    const shell = shellOf(`qemu+ssh://lab7/system?command=${encodeURIComponent(broken)}`);
    const answers = [await shell.stat('/dev/sev'), await shell.listFolder('/'), await shell.run(['dmesg'])];
    for (const answer of [...answers, ...(await shell.readFiles(['/proc/version', '/dev/sev']))])
      expect(answer).toEqual({ outcome: 'unreadable', because: 'Host key verification failed.' });
    await rm(broken);
  });
});
