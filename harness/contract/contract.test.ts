import { startEmulatedHost } from '../fakelibvirt/index.ts';
import { describeHostContract } from './suite.ts';

describeHostContract({
  title: 'the emulated host',
  start: () => startEmulatedHost({ profile: 'naples' }),
  hostUri: 'qemu:///system',
  knowsSev: true,
  hasMemoryTuning: true,
  patienceMs: 5000,
});
