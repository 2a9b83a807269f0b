import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { parseLibvirtUri } from './uri.ts';

const SYSTEM = { name: 'qemu:///system', session: false };
const SESSION = { name: 'qemu:///session', session: true };
const unix = { transport: 'unix', socket: undefined, mode: 'auto' };
const ssh = {
  transport: 'ssh',
  port: undefined,
  user: undefined,
  keyfile: undefined,
  knownHosts: undefined,
  hostKeyCheck: 'normal',
  batch: false,
  command: undefined,
  netcat: undefined,
  socket: undefined,
  mode: 'auto',
  proxy: 'auto',
};
const tls = { transport: 'tls', port: 16514, pkipath: undefined, verify: true };

describe('parseLibvirtUri', () => {
  it.each([
    ['qemu:///system', { ...SYSTEM, ...unix }],
    ['qemu:///session', { ...SESSION, ...unix }],
    ['QEMU:///system', { ...SYSTEM, ...unix }],
    ['qemu:///system?socket=/run/x/sock', { ...SYSTEM, ...unix, socket: '/run/x/sock' }],
    ['qemu:///system?socket=/run/a%20b', { ...SYSTEM, ...unix, socket: '/run/a b' }],
    ['qemu+unix:///session?socket=/run/x/sock', { ...SESSION, ...unix, socket: '/run/x/sock' }],
    ['qemu+unix:///system?mode=direct', { ...SYSTEM, ...unix, mode: 'direct' }],
    [
      'qemu+unix:///system?name=qemu:///session&socket=/s',
      { ...SYSTEM, ...unix, name: 'qemu:///session', socket: '/s' },
    ],
    ['qemu+ssh://lab7/system', { ...SYSTEM, ...ssh, host: 'lab7' }],
    ['qemu+ssh://root@lab7:2222/system', { ...SYSTEM, ...ssh, host: 'lab7', user: 'root', port: 2222 }],
    ['qemu+ssh://lab7/session', { ...SESSION, ...ssh, host: 'lab7', proxy: 'native' }],
    ['qemu+ssh://lab7/system?proxy=netcat', { ...SYSTEM, ...ssh, host: 'lab7', proxy: 'netcat' }],
    ['qemu+ssh://lab7/system?socket=/s', { ...SYSTEM, ...ssh, host: 'lab7', socket: '/s', proxy: 'netcat' }],
    ['qemu+ssh://lab7/system?netcat=/bin/nc', { ...SYSTEM, ...ssh, host: 'lab7', netcat: '/bin/nc', proxy: 'netcat' }],
    [
      'qemu+ssh://lab7/system?keyfile=/home/a/.ssh/id&no_verify=1&no_tty=1&command=/opt/ssh',
      {
        ...SYSTEM,
        ...ssh,
        host: 'lab7',
        keyfile: '/home/a/.ssh/id',
        hostKeyCheck: 'ignore',
        batch: true,
        command: '/opt/ssh',
      },
    ],
    [
      'qemu+ssh://lab7/system?known_hosts=/k%20h&known_hosts_verify=auto&mode=direct',
      { ...SYSTEM, ...ssh, host: 'lab7', knownHosts: '/k h', hostKeyCheck: 'auto', mode: 'direct' },
    ],
    [
      'qemu+ssh://lab7/system?no_verify=1&known_hosts_verify=ignore',
      { ...SYSTEM, ...ssh, host: 'lab7', hostKeyCheck: 'ignore' },
    ],
    ['qemu+ssh:///system', { ...SYSTEM, ...ssh, host: 'localhost' }],
    ['qemu+ssh://[fe80::1]/system', { ...SYSTEM, ...ssh, host: 'fe80::1' }],
    // RFC 6874: the % before the interface is itself escaped in a URI; people write it without.
    ['qemu+ssh://[fe80::1%25eth0]/system', { ...SYSTEM, ...ssh, host: 'fe80::1%eth0' }],
    ['qemu+ssh://[fe80::1%eth0]/system', { ...SYSTEM, ...ssh, host: 'fe80::1%eth0' }],
    ['qemu+tls://[fe80::1%25eth0]:99/system', { ...SYSTEM, ...tls, host: 'fe80::1%eth0', port: 99 }],
    ['qemu+tcp://lab7/system', { ...SYSTEM, transport: 'tcp', host: 'lab7', port: 16509 }],
    ['qemu+tcp://lab7:99/system', { ...SYSTEM, transport: 'tcp', host: 'lab7', port: 99 }],
    ['qemu+tls://lab7/system', { ...SYSTEM, ...tls, host: 'lab7' }],
    ['qemu://lab7/system', { ...SYSTEM, ...tls, host: 'lab7' }],
    [
      'qemu+tls://lab7/system?pkipath=/pki&no_verify=1',
      { ...SYSTEM, ...tls, host: 'lab7', pkipath: '/pki', verify: false },
    ],
    ['qemu+tls://lab7/system?no_verify=0', { ...SYSTEM, ...tls, host: 'lab7' }],
  ])('understands %s', (uri, expected) => {
    expect(parseLibvirtUri(uri)).toEqual({ uri, ...expected });
  });

  it.each([
    ['', 'not of the form'],
    ['qemu', 'not of the form'],
    ['qemu:/system', 'not of the form'],
    ['/run/libvirt/libvirt-sock', 'not of the form'],
    ['qemu:///system#x', 'not of the form'],
    ['test:///default', 'has no socket'],
    ['test+unix:///default', 'has no socket'],
    ['xen:///system', "the driver is 'xen', only qemu"],
    ['qemu:///', "the path is '/', expected /system or /session"],
    ['qemu:///default', "the path is '/default'"],
    ['qemu:///embed?root=/x', 'inside the calling process'],
    ['qemu+unix://lab7/system', "names the host 'lab7'"],
    ['qemu+libssh2://lab7/system', 'libssh2 is not supported, use qemu+ssh'],
    ['qemu+ext:///system?command=x', 'ext is not supported'],
    ['qemu+quic://lab7/system', "transport 'quic' is unknown"],
    ['qemu+tcp://me@lab7/system', 'a user name means nothing to tcp'],
    ['qemu+ssh://@lab7/system', 'the user name before @ is empty'],
    ['qemu+ssh://-oProxyCommand=x@lab7/system', 'begins with a dash'],
    ['qemu+ssh://-oProxyCommand=x/system', 'begins with a dash'],
    ['qemu+ssh://lab7:0/system', "the port is '0', expected 1 to 65535"],
    ['qemu+ssh://lab7:65536/system', "the port is '65536'"],
    ['qemu+ssh://lab7:ssh/system', "the port is 'ssh'"],
    ['qemu+tcp://:16509/system', 'a port but no host'],
    ['qemu:///system?sockt=/s', "'sockt' is not supported for unix, known are name, socket, mode"],
    ['qemu:///system?socket=', "'socket' is empty"],
    ['qemu:///system?socket=/a&socket=/b', "'socket' is given twice"],
    ['qemu:///system?socket=/a%00b', 'a line break or a NUL'],
    ['qemu:///system?socket=%zz', 'broken % escape'],
    ['qemu:///system?mode=remote', "'mode' is 'remote', expected auto or legacy or direct"],
    ['qemu+ssh://lab7/system?no_verify=yes', "'no_verify' is 'yes', expected 0 or 1"],
    ['qemu+ssh://lab7/system?proxy=nc', "'proxy' is 'nc', expected auto or native or netcat"],
    ['qemu+ssh://lab7/system?proxy=native&netcat=nc', 'cannot be used with proxy=native'],
    ['qemu+ssh://lab7/system?proxy=native&socket=/s', 'cannot be told a socket='],
    ['qemu+ssh://lab7/system?known_hosts=', "'known_hosts' is empty"],
    ['qemu+ssh://lab7/system?known_hosts_verify=1', "'known_hosts_verify' is '1', expected normal or auto or ignore"],
    ['qemu+ssh://lab7/system?no_verify=1&known_hosts_verify=auto', 'contradict each other'],
    ['qemu+tls://lab7/system?known_hosts=/k', "'known_hosts' is not supported for tls"],
    ['qemu+tls://lab7/system?keyfile=/k', "'keyfile' is not supported for tls"],
  ])('refuses %s and says why', (uri, why) => {
    let error: unknown;
    try {
      parseLibvirtUri(uri);
    } catch (reason) {
      error = reason;
    }
    expect(isSevHarnessError(error, 'LIBVIRT_URI')).toBe(true);
    expect((error as Error).message).toContain(`cannot connect to '${uri}': `);
    expect((error as Error).message).toContain(why);
    expect((error as { hint?: string }).hint).toContain('qemu+ssh://');
  });

  it('gives a target or LIBVIRT_URI for any text', () => {
    const pieces = fc.array(
      fc.constantFrom('qemu', '+', 'ssh', '://', '/', 'system', '?', '=', '&', '@', ':', '%', '[', ']', 'socket'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          pieces.map((parts) => parts.join('')),
        ),
        (uri) => {
          try {
            expect(parseLibvirtUri(uri).uri).toBe(uri);
          } catch (error) {
            if (!isSevHarnessError(error, 'LIBVIRT_URI')) throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
