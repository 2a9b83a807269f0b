import { attribute, child, type DomainView } from '../domain.ts';
import type { XmlElement } from '../xml-reader.ts';

/** Controller, bus, target and unit: the address of a drive. */
export type Seat = readonly [controller: number, bus: number, target: number, unit: number];

/** How many drives libvirt puts on one controller when it goes by their names. */
const DRIVES_PER_CONTROLLER = { scsi: 7, sata: 6 } as const;

export type DriveBus = keyof typeof DRIVES_PER_CONTROLLER;

/** Where libvirt puts a drive: at its address, else by the letters of its name. An address that is no number it refuses. */
export function seatOf(drive: XmlElement, bus: DriveBus): Seat | undefined {
  const address = child(drive, 'address');
  const at = (name: string) => indexIn(attribute(address, name)) ?? 0;
  if (attribute(address, 'type') === 'drive') return [at('controller'), at('bus'), at('target'), at('unit')];
  return seatByName(attribute(child(drive, 'target'), 'dev') ?? '', bus);
}

/**
 * Addresses for drives that move to SATA, or to one SCSI controller, by their new names. A drive needs none where its name leads to
 * a free seat there.
 */
export function seating({ disks, devices }: DomainView, bus: DriveBus, controller?: number) {
  const drives = disks.filter((disk) => disk.bus === bus).map(({ element }) => element);
  const passedThrough = bus === 'scsi' ? devices.filter(({ name }) => name === 'hostdev') : [];
  const taken = new Set([...drives, ...passedThrough].map((drive) => seatOf(drive, bus)?.join()));
  const isGood = (seat: Seat) => !taken.has(seat.join()) && (controller ?? seat[0]) === seat[0];
  return (name: string): Seat | undefined => {
    const named = seatByName(name, bus);
    let seat = named;
    for (let index = 0; seat === undefined || !isGood(seat); index++)
      seat = controller === undefined ? seatByIndex(index, bus) : [controller, 0, 0, index];
    taken.add(seat.join());
    return seat === named ? undefined : seat;
  };
}

function seatByName(name: string, bus: DriveBus): Seat | undefined {
  const letters = /^(?:[fhsv]d|xvd|ubd)([a-z]{1,6})\d*$/.exec(name)?.[1];
  if (letters === undefined) return undefined;
  const index = [...letters].reduce((number, letter) => (number + 1) * 26 + letter.charCodeAt(0) - 97, -1);
  return seatByIndex(index, bus);
}

function seatByIndex(index: number, bus: DriveBus): Seat {
  const perController = DRIVES_PER_CONTROLLER[bus];
  return [Math.floor(index / perController), 0, 0, index % perController];
}

/** Models of the SCSI controllers by their index. libvirt gives the lowest free index to one that has none. */
export function scsiControllers({ devices }: DomainView): ReadonlyMap<number, string | undefined> {
  const models = new Map<number, string | undefined>();
  const controllers = devices.filter(({ name, attributes }) => {
    return name === 'controller' && attributes.get('type')?.value === 'scsi';
  });
  for (const controller of controllers) {
    const index = indexIn(attribute(controller, 'index'));
    if (index !== undefined) models.set(index, attribute(controller, 'model'));
  }
  for (const controller of controllers)
    if (!controller.attributes.has('index')) models.set(freeIndex(models), attribute(controller, 'model'));
  return models;
}

function indexIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

export function freeIndex(controllers: ReadonlyMap<number, unknown>): number {
  let index = 0;
  while (controllers.has(index)) index++;
  return index;
}
