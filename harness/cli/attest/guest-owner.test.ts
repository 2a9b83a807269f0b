import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LaunchMeasurement } from '../../../attestation/brands.ts';
import { parseTik } from '../../../attestation/measurement/measurement.ts';
import { openLaunchSecret } from '../../../attestation/secrets/packet.ts';
import { parseSecretTable } from '../../../attestation/secrets/table.ts';
import { parseTek } from '../../../attestation/session/transport-keys.ts';
import { fromBase64, toBase64 } from '../../../core/bytes.ts';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { listenAsHost, type ScriptedHost } from './testing/scripted-host.ts';

/** Runs every command of docs/guest-owner.md in order, in one folder, against a forged platform and a scripted host. */
const repository = path.resolve(import.meta.dirname, '../../..');
const program = path.join(repository, 'dist/harness/cli/attest/testing/forged-main.js');
const guide = readFileSync(path.join(repository, 'docs/guest-owner.md'), 'utf8');
const blocks = [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
const CHIP_ID = '5a'.repeat(64);

let root: string;
let work: string;
let forged: ForgedCase;
let amd: Server;
let host: ScriptedHost | undefined;
let measurement = '';

beforeAll(async () => {
  if (!existsSync(program)) throw new Error('dist/ is missing: run npm run build');
  root = mkdtempSync(path.join(tmpdir(), 'sevh-guest-owner-'));
  work = path.join(root, 'work');
  forged = forgeCase(path.join(root, 'forged'));
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  mkdirSync(work);
  for (const name of ['OVMF.fd', 'passphrase.txt'])
    writeFileSync(path.join(work, name), readFileSync(forged.path(name)));
  script('sev-harness', `exec '${process.execPath}' '${program}' "$@"`);
  // What virsh prints, in its own columns; the host behind it is the scripted one.
  script('virsh', `shift 2; cat "${root}/virsh-$1.txt"`);
  const { pdh, certChain } = forged.platform.files;
  writeFileSync(
    path.join(root, 'virsh-nodesevinfo.txt'),
    `pdh               : ${toBase64(pdh)}\ncert-chain        : ${toBase64(certChain)}\ncbitpos           : 51\n`,
  );
  amd = createServer((request, response) => {
    const isCek = request.url === `/cek/id/${CHIP_ID.toUpperCase()}`;
    response.end(readFileSync(forged.path(isCek ? 'cek.cert' : 'ask_ark.cert')));
  });
  await new Promise<void>((resolve) => {
    amd.listen(0, '127.0.0.1', resolve);
  });
});
afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  amd?.close();
  if (root !== undefined) rmSync(root, { recursive: true, force: true });
});

function script(name: string, body: string): void {
  const file = path.join(root, 'bin', name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

/** The host's part of step 4: starts what the guide's XML says, and answers for it from then on. */
async function startGuest(): Promise<void> {
  const xml = readFileSync(path.join(work, 'launch-security.xml'), 'utf8');
  const element = (name: string) => new RegExp(`<${name}>(.*?)</${name}>`).exec(xml)?.[1] ?? '';
  const policy = Number(element('policy'));
  measurement = forged.launch({ godh: element('dhCert'), session: element('session') }, { policy });
  const security = {
    'sev-measurement': measurement,
    'sev-api-major': 1,
    'sev-api-minor': 55,
    'sev-build-id': 21,
    'sev-policy': policy,
  };
  const lines = Object.entries(security).map(([name, value]) => `${name.padEnd(15)}: ${value}\n`);
  writeFileSync(path.join(root, 'virsh-domlaunchsecinfo.txt'), lines.join(''));
  for (const command of ['start', 'domsetlaunchsecstate', 'resume']) {
    writeFileSync(path.join(root, `virsh-${command}.txt`), 'done\n');
  }
  const { pdh, certChain } = forged.platform.files;
  host = await listenAsHost({
    name: 'web',
    state: 3,
    xml: `<domain><os><loader stateless='yes' type='rom'>/OVMF.fd</loader></os>${xml}</domain>`,
    vcpus: 1,
    security,
    sevInfo: { pdh: toBase64(pdh), 'cert-chain': toBase64(certChain) },
    hostname: 'lab7',
    capabilities: '<capabilities/>',
  });
}

it('the guide has its commands in blocks that this test finds', () => {
  expect(blocks.length).toBeGreaterThanOrEqual(11);
  for (const verb of ['fetch-roots', 'chain', 'policy', 'session', 'verify', 'digest', 'explain', 'secret']) {
    expect(
      blocks.some((block) => block.includes(`sev-harness attest ${verb} `)),
      verb,
    ).toBe(true);
  }
});

it('every command of the guide works, one after the other', async () => {
  const outputs = new Map<string, string>();
  for (const block of blocks) {
    if (block.includes('start --paused')) await startGuest();
    const result = await execa('bash', ['-euo', 'pipefail', '-c', block], {
      cwd: work,
      reject: false,
      env: {
        PATH: `${path.join(root, 'bin')}:${process.env.PATH}`,
        HOST: host?.uri ?? 'qemu:///system',
        CHIP_ID,
        FORGED_FOLDER: forged.folder,
        FORGED_ORIGIN: `http://127.0.0.1:${(amd.address() as AddressInfo).port}`,
        NO_COLOR: '1',
      },
    });
    expect(result.exitCode, `${block}\n${result.stdout}\n${result.stderr}`).toBe(0);
    const verb = /sev-harness attest (\S+)/.exec(block)?.[1] ?? '';
    outputs.set(verb, `${outputs.get(verb) ?? ''}${result.stdout}\n`);
  }
  expect(outputs.get('chain')).toContain('VALID');
  expect(outputs.get('verify')?.match(/^VALID/gm)).toHaveLength(2);
  expect(outputs.get('explain')).toContain('The measurement matches if');
  expect(host?.changes).toEqual(['secret', 'resume']);
}, 60_000);

it('leaves the pass phrase in the guest, and nowhere else', () => {
  const bytes = (text: unknown) => fromBase64(String(text)) ?? new Uint8Array();
  const key = (name: string) => readFileSync(path.join(work, 'session', name));
  const keys = {
    tik: parseTik(key('web_tik.bin')),
    tek: parseTek(key('web_tek.bin')),
    measurement: bytes(measurement).slice(0, 32) as LaunchMeasurement,
  };
  const read = (name: string) => bytes(readFileSync(path.join(work, name), 'utf8'));
  const injected = host?.injected();
  for (const packet of [
    { header: bytes(injected?.['sev-secret-header']), payload: bytes(injected?.['sev-secret']) },
    { header: read('header.b64'), payload: read('payload.b64') },
  ]) {
    const [secret] = parseSecretTable(openLaunchSecret(packet, keys));
    expect(secret?.guid).toBe('736869e5-84f0-4973-92ec-06879ce3da0b');
    expect(Buffer.from(secret?.secret.reveal() ?? []).toString()).toBe('correct horse battery staple');
  }
});
