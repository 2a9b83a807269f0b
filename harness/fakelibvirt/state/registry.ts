import { refusal } from '../refusal.ts';
import { Domain } from './domain.ts';

/** All domains, found by name and by uuid (`virDomainObjList`). */
export class DomainRegistry {
  readonly #byName = new Map<string, Domain>();
  readonly #byUuid = new Map<string, Domain>();
  readonly #byId = new Map<number, Domain>();

  all(): Domain[] {
    return [...this.#byName.values()];
  }

  has(uuid: string): boolean {
    return this.#byUuid.has(uuid);
  }

  byName(name: string): Domain {
    const domain = this.#byName.get(name);
    if (domain === undefined) throw refusal('NO_DOMAIN', 'QEMU', `no domain with matching name '${name}'`);
    return domain;
  }

  byId(id: number): Domain {
    const domain = this.#byId.get(id);
    if (domain === undefined) throw refusal('NO_DOMAIN', 'QEMU', `no domain with matching id ${id}`);
    return domain;
  }

  byUuid(uuid: string): Domain {
    const domain = this.#byUuid.get(uuid);
    if (domain === undefined) throw refusal('NO_DOMAIN', 'QEMU', `no domain with matching uuid '${uuid}'`);
    return domain;
  }

  /** The domain that a client's handle means: the uuid decides, the name is for the message. */
  resolve(handle: { readonly name: string; readonly uuid: string }): Domain {
    const domain = this.#byUuid.get(handle.uuid);
    if (domain === undefined) throw this.gone(handle);
    return domain;
  }

  /** The refusal for a handle whose domain is no more. */
  gone({ name, uuid }: { readonly name: string; readonly uuid: string }) {
    return refusal('NO_DOMAIN', 'QEMU', `no domain with matching uuid '${uuid}' (${name})`);
  }

  /** `virDomainObjListAdd`: the domain of that name and uuid, new or known; refuses when either belongs to another. */
  claim(name: string, uuid: string, forStart: boolean): Domain {
    const sameUuid = this.#byUuid.get(uuid);
    if (sameUuid !== undefined) {
      if (sameUuid.name !== name) {
        throw refusal('OPERATION_FAILED', 'DOMAIN', `domain '${sameUuid.name}' is already defined with uuid ${uuid}`);
      }
      if (forStart && sameUuid.isActive) {
        throw refusal('OPERATION_INVALID', 'DOMAIN', `domain '${name}' is already active`);
      }
      if (forStart && sameUuid.persistent === undefined) {
        throw refusal('OPERATION_INVALID', 'DOMAIN', `domain '${name}' is already being started`);
      }
      return sameUuid;
    }
    const sameName = this.#byName.get(name);
    if (sameName !== undefined) {
      throw refusal('OPERATION_FAILED', 'DOMAIN', `domain '${name}' already exists with uuid ${sameName.uuid}`);
    }
    const domain = new Domain(name, uuid);
    this.#byName.set(name, domain);
    this.#byUuid.set(uuid, domain);
    return domain;
  }

  remove(domain: Domain): void {
    this.#byName.delete(domain.name);
    this.#byUuid.delete(domain.uuid);
  }

  indexId(domain: Domain, id: number): void {
    this.#byId.set(id, domain);
  }

  forgetId(id: number): void {
    this.#byId.delete(id);
  }

  /** Running domains, by ascending id. */
  active(): Domain[] {
    return [...this.#byId.values()];
  }
}
