import { expect, test } from 'vitest';
import { remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { useLab } from './test-lab.ts';

const lab = useLab('naples');
const FILE = '/var/lib/libvirt/qemu/one.img';

test.each([
  ['runs', false, '1/3'],
  ['stands still', true, '3/1'],
])('a guest that %s does so again after its memory was saved and restored', async (_, isPaused, state) => {
  const dom = await lab.running();
  if (isPaused) await lab.client.call(remote.domainSuspend, { dom });
  await lab.client.call(remote.domainSave, { dom, to: FILE });
  expect(await lab.stateOf(dom)).toBe('5/5');
  await lab.client.call(remote.domainRestore, { from: FILE });
  expect(await lab.stateOf(dom)).toBe(state);
  await lab.client.call(remote.domainDestroy, { dom });
});

test('a guest whose memory cannot be saved, because no file can be there, runs on', async () => {
  const dom = await lab.running();
  expect(await lab.refusalOf(remote.domainSave, { dom, to: '/nonexistent/x' })).toBe(
    "38/10 Failed to create file '/nonexistent/x': No such file or directory",
  );
  expect(await lab.stateOf(dom)).toBe('1/5');
  expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 3/0 ${dom.id}`, `${dom.name} 4/0 ${dom.id}`]);
  expect(await lab.refusalOf(remote.domainRestore, { from: '/nonexistent/x' })).toBe(
    "38/10 Failed to open file '/nonexistent/x': No such file or directory",
  );
});
