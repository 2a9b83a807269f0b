import { decodeMeasurementText, parseLaunchMeasure } from '../../../attestation/measurement/measurement.ts';
import { openLaunchSecret, type SecretKeys, sealLaunchSecret } from '../../../attestation/secrets/packet.ts';
import {
  buildSecretTable,
  type GuestSecret,
  parseSecretTable,
  secretGuid,
} from '../../../attestation/secrets/table.ts';
import { toBase64 } from '../../../core/bytes.ts';
import { Secret } from '../../../core/secret.ts';
import { EXIT } from '../output.ts';
import { type Evidence, withEvidence } from './evidence.ts';
import { type Arguments, clip, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { type OwnersKeys, readKeys } from './keys-input.ts';
import { InputReader, naming } from './read.ts';
import { present, type Report, verdictOf } from './verdict.ts';
import { judge } from './verify.ts';
import { writeFiles } from './write.ts';

/** Encrypts secrets for a guest whose launch verifies; writes the packet, or injects it through libvirt. */
export async function secretVerb(args: Arguments, io: AttestIo): Promise<number> {
  if (args.has('open')) return openPacket(args, io);
  const [header, payload] = [args.text('secret-header'), args.text('secret-payload')];
  if ((header === undefined) !== (payload === undefined)) {
    throw usageError('--secret-header and --secret-payload belong together');
  }
  if (header === undefined && !args.has('domain')) {
    throw usageError('give --secret-header and --secret-payload for the packet, or --domain to inject it');
  }
  if (!args.has('inject-secret'))
    throw usageError('--inject-secret is required', 'For example: luks-key:passphrase.txt');
  return withEvidence(
    args,
    io,
    async (evidence) => {
      const { report, keys } = await judgeLaunch(evidence, args);
      const options = { json: args.has('json'), quiet: args.has('quiet') };
      if (keys === undefined || (!report.ok && !(args.has('insecure') && report.verdict === 'incomplete'))) {
        const note = 'No secret was given out: the launch does not verify.';
        return present({ ...report, notes: [note], details: { ...report.details, injected: [] } }, io, options);
      }
      const secrets = readSecrets(args, evidence.read);
      const packet = sealLaunchSecret(buildSecretTable(secrets), keys, io.random);
      const texts = { header: toBase64(packet.header), secret: toBase64(packet.payload) };
      const done: string[] = [];
      if (header !== undefined && payload !== undefined) {
        writeFiles(
          [
            { path: payload, content: texts.secret, mode: 0o644 },
            { path: header, content: texts.header, mode: 0o644 },
          ],
          { replace: true },
        );
        done.push(`Wrote ${header} and ${payload}, in base64, for QEMU or \`virsh domsetlaunchsecstate\`.`);
      } else if (evidence.domain !== undefined) {
        await evidence.domain.domain.setLaunchSecurityState(texts);
        done.push(`Injected into '${evidence.domain.domain.name}'.`);
        if (!args.has('no-resume')) {
          await evidence.domain.domain.resume();
          done.push('Resumed it.');
        }
      }
      const injected = secrets.map(({ guid, secret }) => ({ guid, bytes: secret.reveal().length }));
      const notes = [
        ...(report.notes ?? []),
        ...injected.map(({ guid, bytes }) => `secret ${guid}, ${bytes} bytes`),
        ...done,
      ];
      present({ ...report, notes, details: { ...report.details, injected } }, io, options);
      return EXIT.ok;
    },
    { measurementAlone: args.has('insecure') },
  );
}

/** With `--insecure` the launch may be left out, and only its measurement be given. */
async function judgeLaunch(
  evidence: Evidence,
  args: Arguments,
): Promise<{ report: Report; keys: SecretKeys | undefined }> {
  const { launch, domain, keys } = evidence;
  if (launch === undefined && domain === undefined) {
    if (!args.has('insecure')) {
      throw usageError(
        'the launch must verify before a secret is given out: give what `verify` needs',
        'If it was verified elsewhere, --insecure takes --measurement alone.',
      );
    }
    const warnings = [...evidence.warnings, 'nothing was verified: the secret goes to whatever was measured'];
    const checks = evidence.chain?.checks ?? [];
    const report: Report = {
      verb: 'secret',
      ok: false,
      verdict: verdictOf(false, checks),
      checks,
      warnings,
      inputs: evidence.read.notes,
    };
    return { report, keys: packetKeys(keys, args.required('measurement')) };
  }
  const report = await judge('secret', evidence);
  // Without a measurement there is no packet to bind to it, and a failed row says why.
  const measurement = launch?.measurement;
  return { report, keys: measurement === undefined ? undefined : packetKeys(keys, measurement) };
}

function packetKeys({ tik, tek }: OwnersKeys, measurement: string): SecretKeys {
  if (tik === undefined || tek === undefined) throw usageError('--tik and --tek are required, or --tk');
  return { tik, tek, measurement: parseLaunchMeasure(decodeMeasurementText(measurement)).measurement };
}

function readSecrets(args: Arguments, read: InputReader): GuestSecret[] {
  return args.all('inject-secret').map((text) => {
    const colon = text.indexOf(':');
    if (colon <= 0 || colon === text.length - 1) {
      throw usageError(`--inject-secret: expected ALIAS-OR-GUID:FILE, got '${clip(text)}'`);
    }
    const [name, file] = [text.slice(0, colon), text.slice(colon + 1)];
    return { guid: secretGuid(name), secret: new Secret(read.secret('--inject-secret', file)) };
  });
}

/** What is in a packet, without showing it. */
async function openPacket(args: Arguments, io: AttestIo): Promise<number> {
  const read = new InputReader();
  const [headerPath, payloadPath] = [args.required('secret-header'), args.required('secret-payload')];
  const keys = packetKeys(await readKeys(args, read), args.required('measurement'));
  const header = read.either('--secret-header', headerPath);
  const payload = read.either('--secret-payload', payloadPath);
  const secrets = naming('--secret-payload', payloadPath, () =>
    parseSecretTable(openLaunchSecret({ header, payload }, keys)),
  );
  const found = secrets.map(({ guid, secret }) => ({ guid, bytes: secret.reveal().length }));
  if (args.has('json')) io.out(`${JSON.stringify({ verb: 'secret', ok: true, secrets: found, inputs: read.notes })}\n`);
  else for (const { guid, bytes } of found) io.out(`secret ${guid}, ${bytes} bytes\n`);
  return EXIT.ok;
}
