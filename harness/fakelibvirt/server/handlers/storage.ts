import type { RemoteHandlers } from '../dispatch.ts';

export const storageHandlers: RemoteHandlers = {
  storagePoolDefineXml: ({ xml }, { machine }) => {
    const { name, uuid } = machine.storage.define(xml);
    return { pool: { name, uuid } };
  },
  storagePoolLookupByName: ({ name }, { machine }) => ({ pool: { name, uuid: machine.storage.byName(name).uuid } }),
  storagePoolBuild: ({ pool }, { machine }) => {
    machine.storage.build(pool);
    return {};
  },
  storagePoolCreate: ({ pool }, { machine }) => {
    machine.storage.start(pool);
    return {};
  },
  storagePoolRefresh: ({ pool }, { machine }) => {
    machine.storage.volumes(pool);
    return {};
  },
  storagePoolListAllVolumes: ({ pool, needResults }, { machine }) => {
    const vols = machine.storage.volumes(pool);
    return { vols: needResults ? vols : [], ret: vols.length };
  },
  storagePoolDestroy: ({ pool }, { machine }) => {
    machine.storage.stop(pool);
    return {};
  },
  storagePoolDelete: ({ pool }, { machine }) => {
    machine.storage.deleteFolder(pool);
    return {};
  },
  storagePoolUndefine: ({ pool }, { machine }) => {
    machine.storage.undefine(pool);
    return {};
  },
  storageVolCreateXml: ({ pool, xml }, { machine }) => ({ vol: machine.storage.createVolume(pool, xml) }),
  storageVolGetPath: ({ vol }, { machine }) => ({ name: machine.storage.volumePath(vol) }),
  storageVolDelete: ({ vol }, { machine }) => {
    machine.storage.deleteVolume(vol);
    return {};
  },
};
