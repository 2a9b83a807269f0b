import { freeMemoryKiB } from '../../state/host-memory.ts';
import type { RemoteHandlers } from '../dispatch.ts';

export const nodeHandlers: RemoteHandlers = {
  nodeGetInfo: (_, { machine }) => {
    const { cpu, memoryKiB } = machine.profile;
    return {
      model: 'x86_64',
      memory: BigInt(memoryKiB),
      cpus: cpu.sockets * cpu.coresPerSocket * cpu.threadsPerCore,
      mhz: cpu.mhz,
      // libvirt counts sockets for each NUMA cell.
      nodes: cpu.sockets,
      sockets: 1,
      cores: cpu.coresPerSocket,
      threads: cpu.threadsPerCore,
    };
  },
  nodeGetFreeMemory: (_, { machine }) => ({ freeMem: BigInt(freeMemoryKiB(machine)) * 1024n }),
  nodeGetCpuMap: ({ needMap }, { machine }) => {
    const { sockets, coresPerSocket, threadsPerCore } = machine.profile.cpu;
    const count = sockets * coresPerSocket * threadsPerCore;
    const cpumap = new Uint8Array(needMap ? Math.ceil(count / 8) : 0);
    for (let cpu = 0; needMap && cpu < count; cpu++) cpumap[cpu >> 3] = (cpumap[cpu >> 3] ?? 0) | (1 << (cpu & 7));
    return { cpumap, online: count, ret: count };
  },
  nodeGetSecurityModel: () => ({ model: 'none', doi: '0' }),
};
