import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { lintDomain } from './lint.ts';
import { tryDomain } from './trial.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const folder = path.join(shared, 'vectors/nova-xml');
const haveExamples = existsSync(folder);
if (!haveExamples) {
  const what = `${folder} is missing: a real libvirt is not asked about the examples of the article`;
  if (process.env.SEV_HARNESS_REQUIRE_SHARED === '1') throw new Error(what);
  console.warn(`\n! ${what}\n`);
}

let host: Host;
let emulator = '';
beforeAll(async () => {
  host = await openHost(parseHostName(uri ?? ''));
  emulator = (await readSevFacts(host)).emulatorPath ?? '';
});
afterAll(() => host?.close());

const withBackend = (xml: string) => xml.replace(/<rng[^>]*>/, "$&<backend model='random'>/dev/urandom</backend>");
/** For this machine: its emulator, without KVM, and a machine type that a QEMU of today has. */
const moved = (xml: string) =>
  xml
    .replace(/<domain type="kvm"/, '<domain type="qemu"')
    .replace(/<emulator>.*<\/emulator>/, `<emulator>${emulator}</emulator>`)
    .replace(/pc-(q35|i440fx)-3\.0/, (_, family) => (family === 'q35' ? 'q35' : 'pc'))
    .replace(/<cpu mode="host-model"[\s\S]*?<\/cpu>/, '');
const withoutSev = (xml: string) => xml.replace(/<launchSecurity[\s\S]*<\/launchSecurity>/, '');

describe.skipIf(uri === undefined || !haveExamples).each(['q35', 'i440fx'])(
  'the %s example of the article, to a real libvirt without SEV',
  (family) => {
    const example = haveExamples ? readFileSync(path.join(folder, `seed--article-${family}-example.xml`), 'utf8') : '';
    const name = /<name>(.*)<\/name>/.exec(example)?.[1] ?? '';
    const ask = (xml: string) => tryDomain(host.connection, name, xml);

    it('is no definition as printed, for its rng has no backend', async () => {
      expect(await ask(example)).toEqual({
        outcome: 'refused at define',
        text: 'XML error: only one RNG backend is supported',
        diagnosis: 'rng-backend',
        isLeft: false,
      });
      expect(lintDomain(example, { profile: 'modern' }).isEncrypted).toBe(true);
    });

    it('asks for what this host has not, once it has one', async () => {
      expect(await ask(moved(withBackend(example)))).toMatchObject({
        outcome: 'refused at define',
        text: 'unsupported configuration: SEV launch security is not supported with this QEMU binary',
        diagnosis: 'sev-unsupported',
        isLeft: false,
      });
    });

    it('is a good definition in all else: without SEV only its files are missing', async () => {
      const trial = await ask(withoutSev(moved(withBackend(example))));
      expect(trial).toMatchObject({ outcome: 'refused at start', isLeft: false });
      // Where Debian's OVMF stands elsewhere than the article's.
      expect(trial.text).toBe(
        'operation failed: unable to find any master var store for loader: /usr/share/edk2/ovmf/OVMF_CODE.fd',
      );
      expect(trial.diagnosis).toBe('no-nvram-template');
    });
  },
);
