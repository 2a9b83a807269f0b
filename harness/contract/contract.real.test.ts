import { describeHostContract } from './suite.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined)
  throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real, which starts a libvirtd');

describeHostContract({
  title: 'a real session libvirtd with QEMU',
  start: async () => ({ uri, close: async () => {} }),
  hostUri: 'qemu:///session',
  knowsSev: false,
  hasMemoryTuning: false,
  patienceMs: 20_000,
});
