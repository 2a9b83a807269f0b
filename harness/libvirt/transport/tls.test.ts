import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import forge from 'node-forge';
import { dir } from 'tmp-promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../index.ts';
import { coded, PeerSession } from '../testing/scripted-peer.ts';
import { credentialPaths } from './tls.ts';

interface Identity {
  readonly certificate: forge.pki.Certificate;
  readonly cert: string;
  readonly key: string;
}

/** One pair of keys is enough: who a certificate speaks for is in its names and its issuer. */
const keys = forge.pki.rsa.generateKeyPair(2048);
let serial = 0;

function issue(commonName: string, issuer: Identity | undefined, extensions: object[]): Identity {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  serial++;
  certificate.serialNumber = serial.toString(16).padStart(4, '0');
  certificate.validity.notBefore = new Date(Date.now() - 86_400_000);
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  certificate.setIssuer(issuer?.certificate.subject.attributes ?? certificate.subject.attributes);
  certificate.setExtensions(extensions);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return {
    certificate,
    cert: forge.pki.certificateToPem(certificate),
    key: forge.pki.privateKeyToPem(keys.privateKey),
  };
}

const isCa = [
  { name: 'basicConstraints', cA: true },
  { name: 'keyUsage', keyCertSign: true },
];
const ca = issue('sevh test CA', undefined, isCa);
const otherCa = issue('another CA', undefined, isCa);
const onLoopback = [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }];
const server = issue('127.0.0.1', ca, onLoopback);
const elsewhere = issue('lab9', ca, [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'lab9' }] }]);
const client = issue('client', ca, []);
const stranger = issue('stranger', otherCa, []);

let folder: { path: string; cleanup(): Promise<void> };
const servers: Server[] = [];

beforeAll(async () => {
  folder = await dir({ unsafeCleanup: true, prefix: 'sevh-tls-' });
});
afterAll(async () => {
  for (const each of servers) each.close();
  await folder.cleanup();
});

async function pki(name: string, files: { ca?: Identity; client?: Identity }): Promise<string> {
  const place = path.join(folder.path, name);
  await mkdir(place, { recursive: true });
  if (files.ca !== undefined) await writeFile(path.join(place, 'cacert.pem'), files.ca.cert);
  if (files.client !== undefined) {
    await writeFile(path.join(place, 'clientcert.pem'), files.client.cert);
    await writeFile(path.join(place, 'clientkey.pem'), files.client.key);
  }
  return place;
}

/** A daemon with TLS, which greets clients it accepts with `greeting`. */
async function listenTls(identity: Identity, greeting: Buffer): Promise<number> {
  const listening = createTlsServer(
    { ca: ca.cert, cert: identity.cert, key: identity.key, requestCert: true, rejectUnauthorized: true },
    (socket) => {
      socket.write(greeting);
      new PeerSession(socket, () => 'default');
    },
  );
  servers.push(listening);
  await new Promise<void>((resolve) => {
    listening.listen(0, '127.0.0.1', resolve);
  });
  return (listening.address() as AddressInfo).port;
}

const ACCEPTED = Buffer.from([1]);

async function failure(uri: string, timeoutMs = 5000) {
  return coded(await connect(uri, { callTimeoutMs: timeoutMs }).catch((reason: unknown) => reason));
}

describe('a connection over TLS', () => {
  it('is open once the daemon has accepted the client certificate', async () => {
    const port = await listenTls(server, ACCEPTED);
    const pkipath = await pki('good', { ca, client });
    await using connection = await connect(`qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}`);
    expect(connection.isOpen).toBe(true);
  });

  it('refuses a daemon whose certificate another CA signed', async () => {
    const port = await listenTls(server, ACCEPTED);
    const pkipath = await pki('other-ca', { ca: otherCa, client });
    const error = await failure(`qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}`);
    expect(error.code).toBe('LIBVIRT_CONNECT');
    expect(error.message).toMatch(/signature|issuer|verify|self.signed/i);
  });

  it('refuses a daemon whose certificate names another host, unless told not to verify', async () => {
    const port = await listenTls(elsewhere, ACCEPTED);
    const pkipath = await pki('good', { ca, client });
    const uri = `qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}`;
    expect((await failure(uri)).message).toMatch(/altnames/);
    await using connection = await connect(`${uri}&no_verify=1`);
    expect(connection.isOpen).toBe(true);
  });

  it('says so when the daemon refuses our certificate, or we have none', async () => {
    const port = await listenTls(server, ACCEPTED);
    const strange = await pki('stranger', { ca, client: stranger });
    const refused = await failure(`qemu+tls://127.0.0.1:${port}/system?pkipath=${strange}`);
    expect(refused.code).toBe('LIBVIRT_CONNECT');
    expect(refused.message).toContain('refused our client certificate');
    const none = await pki('none', { ca });
    const missing = await failure(`qemu+tls://127.0.0.1:${port}/system?pkipath=${none}`);
    expect(missing.message).toContain(`we have none (looked at ${none}/clientcert.pem)`);
  });

  it('says so when the daemon answers with another byte than accepted', async () => {
    const port = await listenTls(server, Buffer.from([0]));
    const pkipath = await pki('good', { ca, client });
    expect((await failure(`qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}`)).message).toContain('byte 0');
  });

  it('gives up at its deadline when the byte never comes', async () => {
    const port = await listenTls(server, Buffer.alloc(0));
    const pkipath = await pki('good', { ca, client });
    const error = await failure(`qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}`, 300);
    expect(error.code).toBe('LIBVIRT_CONNECT');
    expect(error.message).toContain('no connection within 300 ms');
  });

  it('names the places where it looked for the CA', async () => {
    const error = await failure(`qemu+tls://127.0.0.1:1/system?pkipath=${folder.path}/empty`);
    expect(error.message).toContain(`no CA certificate at ${folder.path}/empty/cacert.pem`);
  });

  it('looks where libvirt looks', () => {
    expect(credentialPaths(undefined, '/home/a', true).map((place) => place.ca)).toEqual(['/etc/pki/CA/cacert.pem']);
    expect(credentialPaths(undefined, '/home/a', false).map((place) => place.key)).toEqual([
      '/home/a/.pki/libvirt/clientkey.pem',
      '/etc/pki/libvirt/private/clientkey.pem',
    ]);
  });
});

describe('a connection over TCP', () => {
  it('is open once the daemon has let us in', async () => {
    const listening = createServer((socket) => new PeerSession(socket, () => 'default'));
    servers.push(listening);
    await new Promise<void>((resolve) => {
      listening.listen(0, '127.0.0.1', resolve);
    });
    const { port } = listening.address() as AddressInfo;
    await using connection = await connect(`qemu+tcp://127.0.0.1:${port}/system`);
    expect(connection.isOpen).toBe(true);
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
  it.skipIf(!hasIpv6)('reaches an IPv6 address that names its interface', async () => {
    const listening = createServer((socket) => new PeerSession(socket, () => 'default'));
    servers.push(listening);
    await new Promise<void>((resolve) => {
      listening.listen(0, '::1', resolve);
    });
    const { port } = listening.address() as AddressInfo;
    await using connection = await connect(`qemu+tcp://[::1%25lo]:${port}/system`);
    expect(connection.isOpen).toBe(true);
  });

  it('says so when nobody listens', async () => {
    const listening = createServer();
    await new Promise<void>((resolve) => {
      listening.listen(0, '127.0.0.1', resolve);
    });
    const { port } = listening.address() as AddressInfo;
    await new Promise((resolve) => {
      listening.close(resolve);
    });
    const error = await failure(`qemu+tcp://127.0.0.1:${port}/system`);
    expect(error.code).toBe('LIBVIRT_CONNECT');
    expect(error.message).toContain('nobody is listening');
  });
});
