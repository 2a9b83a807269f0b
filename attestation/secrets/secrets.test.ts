import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchMeasurement, Tek, Tik } from '../brands.ts';
import { hmacSha256 } from '../session/blob.ts';
import { littleEndian32 } from '../session/kdf.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { openLaunchSecret, type SecretKeys, sealLaunchSecret } from './packet.ts';
import { buildSecretTable, parseSecretTable, secretGuid } from './table.ts';

const LUKS = '736869e5-84f0-4973-92ec-06879ce3da0b';
const random = seededRandom('secrets');
const keys: SecretKeys = {
  tik: new Secret(random(16) as Tik),
  tek: new Secret(random(16) as Tek),
  measurement: random(32) as LaunchMeasurement,
};
const passPhrase = new Secret(Uint8Array.from(Buffer.from('correct horse battery staple')));
const table = buildSecretTable([{ guid: LUKS, secret: passPhrase }]);
const packet = sealLaunchSecret(table, keys, random);
const withCode = (code: string) => expect.objectContaining({ code });

const contents = (secrets: readonly { guid: string; secret: Secret<Uint8Array> }[]) =>
  secrets.map(({ guid, secret }) => [guid, toHex(secret.reveal())]);

describe('secret table', () => {
  it('gives back any secrets with distinct GUIDs, whichever way it is padded', () => {
    const guid = fc.uuid().map((text) => text.toLowerCase());
    const secret = fc.uint8Array({ minLength: 8, maxLength: 200 }).map((bytes) => new Secret(Uint8Array.from(bytes)));
    const entries = fc.uniqueArray(fc.record({ guid, secret }), {
      minLength: 1,
      maxLength: 8,
      selector: (e) => e.guid,
    });
    fc.assert(
      fc.property(entries, fc.constantFrom('minimal', 'always'), (secrets, padding) => {
        const built = buildSecretTable(secrets, { padding });
        expect(built.reveal().length % 16).toBe(0);
        expect(contents(parseSecretTable(built))).toEqual(contents(secrets));
      }),
    );
  });

  it('adds a whole block to an aligned table only when asked to, as virt-qemu-sev-validate does', () => {
    const aligned = [{ guid: LUKS, secret: new Secret(new Uint8Array(24)) }];
    expect(buildSecretTable(aligned).reveal().length).toBe(64);
    expect(buildSecretTable(aligned, { padding: 'always' }).reveal().length).toBe(80);
  });

  it('knows luks-key by name and takes GUIDs in either case', () => {
    expect(secretGuid('luks-key')).toBe(LUKS);
    expect(secretGuid(LUKS.toUpperCase())).toBe(LUKS);
  });

  it.each(['', 'luks', LUKS.slice(1), `{${LUKS}}`, LUKS.replaceAll('-', ''), `${LUKS}\n`])(
    'refuses the GUID %j',
    (guid) => {
      expect(() => secretGuid(guid)).toThrow(withCode('GUID_INVALID'));
    },
  );

  it('refuses no secret, a secret of 7 bytes, a GUID used twice and more than 16 KiB', () => {
    const secret = passPhrase;
    const refused = withCode('SECRET_INPUT_INVALID');
    expect(() => buildSecretTable([])).toThrow(refused);
    expect(() => buildSecretTable([{ guid: LUKS, secret: new Secret(new Uint8Array(7)) }])).toThrow(refused);
    expect(() =>
      buildSecretTable([
        { guid: 'luks-key', secret },
        { guid: LUKS.toUpperCase(), secret },
      ]),
    ).toThrow(refused);
    expect(() => buildSecretTable([{ guid: LUKS, secret: new Secret(new Uint8Array(16 * 1024 - 39)) }])).toThrow(
      refused,
    );
    expect(buildSecretTable([{ guid: LUKS, secret: new Secret(new Uint8Array(16 * 1024 - 40)) }]).reveal().length).toBe(
      16384,
    );
  });
});

describe('launch secret packet', () => {
  it('opens with the keys and measurement that it was made for', () => {
    expect(contents(parseSecretTable(openLaunchSecret(packet, keys)))).toEqual(
      contents([{ guid: LUKS, secret: passPhrase }]),
    );
  });

  it('never uses one IV twice', () => {
    const again = sealLaunchSecret(table, keys, random);
    expect(toHex(again.header.slice(4, 20))).not.toBe(toHex(packet.header.slice(4, 20)));
  });

  it('does not open when any byte of header, payload, measurement or TIK is changed', () => {
    const flip = (bytes: Uint8Array, at: number) => {
      const copy = Uint8Array.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 0x01;
      return copy;
    };
    const codes = new Set<string>();
    const attempt = (what: string, act: () => unknown) => {
      try {
        act();
        expect.unreachable(what);
      } catch (error) {
        codes.add((error as { code?: string }).code ?? String(error));
      }
    };
    packet.header.forEach((_, at) => {
      attempt(`header ${at}`, () => openLaunchSecret({ ...packet, header: flip(packet.header, at) }, keys));
    });
    packet.payload.forEach((_, at) => {
      attempt(`payload ${at}`, () => openLaunchSecret({ ...packet, payload: flip(packet.payload, at) }, keys));
    });
    keys.measurement.forEach((_, at) => {
      const measurement = flip(keys.measurement, at) as LaunchMeasurement;
      attempt(`measurement ${at}`, () => openLaunchSecret(packet, { ...keys, measurement }));
    });
    const tik = new Secret(flip(keys.tik.reveal(), 0) as Tik);
    attempt('TIK', () => openLaunchSecret(packet, { ...keys, tik }));
    expect([...codes].sort()).toEqual(['SECRET_HEADER_MALFORMED', 'SECRET_MAC_MISMATCH']);
  });

  it('shows a wrong TEK as a table that cannot be read', () => {
    const tek = new Secret(random(16) as Tek);
    expect(() => parseSecretTable(openLaunchSecret(packet, { ...keys, tek }))).toThrow(
      withCode('SECRET_TABLE_MALFORMED'),
    );
  });

  it('refuses a compressed packet, and looks at its MAC first', () => {
    const header = Uint8Array.from(packet.header);
    header[0] = 1;
    expect(() => openLaunchSecret({ ...packet, header }, keys)).toThrow(withCode('SECRET_MAC_MISMATCH'));
    const length = littleEndian32(packet.payload.length);
    const covered = [Uint8Array.of(0x01), header.slice(0, 20), length, length, packet.payload, keys.measurement];
    header.set(hmacSha256(keys.tik.reveal(), concatBytes(...covered)), 20);
    expect(() => openLaunchSecret({ ...packet, header }, keys)).toThrow(withCode('SECRET_COMPRESSED'));
  });

  it.each([0, 8, 15, 17, 16 * 1024 + 16])('refuses %i bytes, to seal or to open', (length) => {
    expect(() => sealLaunchSecret(new Secret(new Uint8Array(length)), keys, random)).toThrow(
      withCode('SECRET_INPUT_INVALID'),
    );
    expect(() => openLaunchSecret({ ...packet, payload: new Uint8Array(length) }, keys)).toThrow(
      withCode('SECRET_PAYLOAD_INVALID'),
    );
  });

  it('refuses the measurement with its nonce', () => {
    const measurement = concatBytes(keys.measurement, random(16)) as LaunchMeasurement;
    expect(() => sealLaunchSecret(table, { ...keys, measurement }, random)).toThrow(withCode('SECRET_INPUT_INVALID'));
  });

  it('keeps secrets and keys out of everything that prints or serialises them', () => {
    const opened = parseSecretTable(openLaunchSecret(packet, keys));
    const shown = [opened, table, keys, packet]
      .map((thing) => inspect(thing, { depth: 20 }) + JSON.stringify(thing))
      .join('');
    for (const secret of [passPhrase, keys.tik, keys.tek]) {
      const bytes: Uint8Array = secret.reveal();
      for (const form of [toHex(bytes), toBase64(bytes), Array.from(bytes).join(', '), Array.from(bytes).join(',')]) {
        expect(shown).not.toContain(form);
      }
    }
    expect(shown).not.toContain('correct horse');
  });
});
