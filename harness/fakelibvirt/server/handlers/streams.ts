import { deflateSync } from 'node:zlib';
import { concatBytes } from '../../../../core/bytes.ts';
import { remoteProcedures, remoteProgram } from '../../../libvirt/protocol/libvirt.gen.ts';
import { refusal } from '../../refusal.ts';
import type { LiveDomain } from '../../state/domain.ts';
import { deviceElements } from '../../state/domain-xml/devices.ts';
import { guestPowersOff, requireActive } from '../../state/lifecycle.ts';
import { attribute, child } from '../../state/xml/tree.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import type { StreamSource } from '../streams.ts';
import { checkFlags } from './domain-define.ts';

const CONSOLE_FORCE = 1;
const CONSOLE_SAFE = 2;

/** The console that is open for a running guest; a guest has one user at a time. */
const openConsoles = new WeakMap<object, () => void>();

export const streamHandlers: RemoteHandlers = {
  domainOpenConsole: ({ dom, devName, flags }, { machine, connection, serial }) => {
    checkFlags(flags, CONSOLE_FORCE | CONSOLE_SAFE, 'qemuDomainOpenConsole');
    const domain = machine.domains.resolve(dom);
    const live = requireActive(domain);
    checkDevice(live, devName);
    if (deviceElements(live.tree, 'video').length > 0 && machine.has('console-refused'))
      throw refusal('INTERNAL_ERROR', 'QEMU', 'cannot find character device <null>');
    const previous = openConsoles.get(live.qemu);
    if (previous && (flags & CONSOLE_FORCE) === 0) {
      throw refusal('OPERATION_FAILED', 'QEMU', 'Active console session exists for this domain');
    }
    previous?.();
    const source = consoleSource(live, dom.name, () => guestPowersOff(machine, domain, live, 'console'));
    connection.streams.add(serial, remoteProgram, remoteProcedures.domainOpenConsole.number, source);
    return {};
  },
  domainScreenshot: ({ dom, screen, flags }, { machine, connection, serial }) => {
    checkFlags(flags, 0, 'qemuDomainScreenshot');
    const live = requireActive(machine.domains.resolve(dom));
    const screens = deviceElements(live.tree, 'video').filter(
      (one) => attribute(child(one, 'model'), 'type') !== 'none',
    );
    if (screens.length === 0) throw refusal('OPERATION_INVALID', 'QEMU', 'no screens to take screenshot from');
    if (screen >= screens.length) throw refusal('OPERATION_INVALID', 'QEMU', 'no such screen ID');
    connection.streams.add(serial, remoteProgram, remoteProcedures.domainScreenshot.number, {
      open: (send, finish) => {
        send(blackScreen());
        finish();
      },
      input: () => {},
      closed: () => {},
    });
    return { mime: 'image/png' };
  },
};

function checkDevice(live: LiveDomain, devName: string | null): void {
  const devices = ['serial', 'parallel', 'channel', 'console'].flatMap((kind) => deviceElements(live.tree, kind));
  const found =
    devName === null
      ? devices.find((one) => one.name === 'console' || one.name === 'serial')
      : devices.find((one) => attribute(child(one, 'alias'), 'name') === devName);
  if (found === undefined)
    throw refusal('INTERNAL_ERROR', 'QEMU', `cannot find character device ${devName ?? '<null>'}`);
  if (attribute(found, 'type') !== 'pty') {
    throw refusal('INTERNAL_ERROR', 'QEMU', `character device ${devName ?? '<null>'} is not using a PTY`);
  }
}

/** As long a line as a Linux terminal takes (N_TTY_BUF_SIZE). */
const TYPED_MAX = 4096;

/** The model guest greets on its serial port, echoes what is typed, and answers a line as the agent does. */
function consoleSource({ qemu }: LiveDomain, name: string, powerOff: () => void): StreamSource {
  let send: ((bytes: Uint8Array) => void) | undefined;
  let finish: (() => void) | undefined;
  let typed = '';
  const hangUp = () => finish?.();
  openConsoles.set(qemu, hangUp);
  const print = (text: string) => send?.(new TextEncoder().encode(text));
  const forget = [qemu.whenGone(hangUp), qemu.guest.follow(print)];
  return {
    open: (sendBytes, finishStream) => {
      send = sendBytes;
      finish = finishStream;
      print(`\r\nemulated guest ${name}\r\n${qemu.guest.console}`);
    },
    input: (bytes) => {
      if (qemu.runState !== 'running') return;
      send?.(bytes);
      const lines = (typed + new TextDecoder().decode(bytes)).split(/\r?\n/);
      typed = (lines.pop() ?? '').slice(0, TYPED_MAX);
      for (const line of lines) {
        if (line.trim() === 'power-off') return powerOff();
        print(qemu.guest.answer(line));
      }
    },
    closed: () => {
      for (const one of forget) one();
      if (openConsoles.get(qemu) === hangUp) openConsoles.delete(qemu);
    },
  };
}

const WIDTH = 720;
const HEIGHT = 400;
const BITS_PER_BYTE = 8;

/** A PNG (one bit per pixel) of the text screen of a guest that prints nothing. */
function blackScreen(): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.writeUInt8(1, 8);
  const rows = Buffer.alloc((1 + WIDTH / BITS_PER_BYTE) * HEIGHT);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return concatBytes(
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  );
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return concatBytes(frame.subarray(0, 4), body, frame.subarray(4));
}

/** ISO 3309, as PNG wants it; Node 20.19 has no built-in one. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < BITS_PER_BYTE; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
