import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAskArk } from '../../../../attestation/certs/chain-files.ts';
import { rsaSpkiSha256Hex } from '../../../../attestation/certs/rsa-pss.ts';
import { exitCodeOf, printError } from '../../output.ts';
import { CHAIN_FLAGS } from '../chain-flags.ts';
import { attestCommand } from '../command.ts';
import { downloadFile } from '../download.ts';
import { fetchRootsVerb } from '../fetch-roots.ts';
import { parseFlags } from '../flags.ts';
import { processIo } from '../process-io.ts';

/**
 * `sev-harness` for the commands of docs/guest-owner.md in a world with a forged manufacturer.
 *
 * The same code with two parameters changed: the pins and the address of the manufacturer, and its root is trusted.
 * FORGED_FOLDER holds a forged case, FORGED_ORIGIN is a server that stands for AMD's.
 */
async function forgedMain([program, verb = '', ...words]: readonly string[]): Promise<number> {
  const [folder, origin] = [process.env.FORGED_FOLDER ?? '', process.env.FORGED_ORIGIN ?? ''];
  if (program !== 'attest') throw new Error(`the guide uses attest only, not ${program}`);
  const io = {
    ...processIo(),
    download: (url: string) => downloadFile(url.replace(/^https:\/\/[a-z]+\.amd\.com/, origin)),
  };
  if (verb === 'fetch-roots') {
    const { ask, ark } = parseAskArk(readFileSync(path.join(folder, 'ask_ark.cert')));
    if (ask === undefined || ark === undefined) throw new Error('the forged case lacks its roots');
    const flags = ['product', 'chip-id', 'out'].map((name) => ({ name, value: 'X', help: '' }));
    const keys = { arkSpkiSha256Hex: rsaSpkiSha256Hex(ark), askSpkiSha256Hex: rsaSpkiSha256Hex(ask) };
    const url = 'https://developer.amd.com/ask_ark_milan.cert';
    const pin = { product: 'milan', ...keys, url, source: 'forged', date: '' } as const;
    return fetchRootsVerb(parseFlags(words, [{ title: '', flags }], 0), io, [pin]);
  }
  const readsChain = words.some((word) => CHAIN_FLAGS.flags.some(({ name }) => word === `--${name}`));
  const trust = readsChain ? ['--trusted-root', path.join(folder, 'root.cert')] : [];
  return attestCommand([verb, ...words, ...trust], io);
}

try {
  process.exitCode = await forgedMain(process.argv.slice(2));
} catch (error) {
  printError(error);
  process.exitCode = exitCodeOf(error);
}
