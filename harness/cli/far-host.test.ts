import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Run } from '../../reports/model/run.ts';
import { type EmulatedHost, startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect } from '../libvirt/index.ts';

const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
let folder: string;
let host: EmulatedHost;
let uri: string;

/** An ssh that runs its command here, in a folder of programs of a host where virt-ssh-helper leads to our daemon. */
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-far-'));
  host = await startEmulatedHost({ profile: 'naples', faults: [] });
  const socket = new URL(host.uri).searchParams.get('socket');
  const put = (name: string, text: string) => {
    writeFileSync(path.join(folder, name), text);
    chmodSync(path.join(folder, name), 0o755);
  };
  mkdirSync(path.join(folder, 'bin'));
  put(
    'pipe.cjs',
    `const s=require('net').connect(${JSON.stringify(socket)});process.stdin.pipe(s);s.pipe(process.stdout)`,
  );
  put('bin/virt-ssh-helper', `#!/bin/sh\nexec '${process.execPath}' '${folder}/pipe.cjs'\n`);
  const log = `printf '%s\\n' "$*" >>'${folder}/calls'`;
  put(
    'ssh',
    `#!/bin/sh\n${log}\nPATH='${folder}/bin':"$PATH"\nexport PATH\nfor last; do :; done\nexec /bin/sh -c "$last"\n`,
  );
  uri = `qemu+ssh://root@lab7/system?command=${encodeURIComponent(path.join(folder, 'ssh'))}`;
});
afterEach(async () => {
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

it('a scenario runs behind an ssh from the first call to the report, and leaves no guest', async () => {
  const words = ['scenario', 'lifecycle-refused', '--host', uri, '--report', path.join(folder, 'report')];
  const run = await execa(process.execPath, [main, ...words], {
    reject: false,
    env: { SEV_HARNESS_REBUILT: '1', NO_COLOR: '1' },
  });
  expect(run.exitCode, run.stderr).toBe(0);
  const report = JSON.parse(readFileSync(path.join(folder, 'report/run.json'), 'utf8')) as Run;
  expect(report.scenarios.map(({ id, status }) => [id, status])).toEqual([['lifecycle-refused', 'passed']]);
  // Once for the lease and the facts, and once for the scenario.
  const calls = readFileSync(path.join(folder, 'calls'), 'utf8').trim().split('\n');
  expect(calls).toEqual(Array(2).fill(expect.stringMatching(/^-l root -T -e none -- lab7 sh -c .*virt-ssh-helper/)));
  await using connection = await connect(host.uri);
  expect(await connection.listDomains()).toEqual([]);
});

it('an ssh that cannot log in ends the run with 2 and its words, in one line', async () => {
  writeFileSync(path.join(folder, 'ssh'), "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n");
  const words = ['scenario', 'lifecycle-refused', '--host', uri, '--report', path.join(folder, 'report')];
  const run = await execa(process.execPath, [main, ...words], {
    reject: false,
    env: { SEV_HARNESS_REBUILT: '1', NO_COLOR: '1' },
  });
  expect(run.exitCode).toBe(2);
  const [first, second] = run.stderr.split('\n');
  expect(first).toMatch(/^ +ERROR LIBVIRT_CONNECT cannot connect to 'qemu\+ssh:.*Permission denied \(publickey\)/);
  expect(second).toMatch(/^ +HINT +Make this work first, without a question: ssh root@lab7 true$/);
});
