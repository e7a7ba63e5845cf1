// Invariant 8: one writer at a time. Once a newer producer has written, an older one never does.
import type { Findings } from "./findings.ts";
import { describe, describePlace, type History, type Place } from "./history.ts";

export function checkWriters({ events, partitions, progress }: History, findings: Findings): void {
  const bySequence = new Order(findings);
  let at = 0;
  for (const one of progress) {
    for (; at < events.length && events[at]!.sequence <= one.sequence; at++) {
      const event = events[at]!;
      for (const place of event.places) {
        bySequence.follow(place, () => describe(event));
        // An event that was sent again has a place of another batch; that is told as a duplicate.
        if (nameOf(place) !== nameOf(one.place) && event.operation !== "truncate" && event.places.length === 1) {
          const what = `${describe(event)} by ${nameOf(place)}; ${describePlace(one.place)} by ${nameOf(one.place)}`;
          findings.add(8, "other", "an event and its progress record have different producers", what);
        }
      }
    }
    bySequence.follow(one.place, () => describePlace(one.place));
  }
  for (; at < events.length; at++)
    for (const place of events[at]!.places) bySequence.follow(place, () => describe(events[at]!));
  for (const list of partitions.values()) {
    const byOffset = new Order(findings);
    for (const { offset, event } of list) {
      const place = event.places.find(
        (one) => one.offset === offset && partitions.get(`${one.topic}/${one.partition}`) === list,
      );
      if (place !== undefined) byOffset.follow(place, () => describe(event));
    }
  }
  findings.examined(8, events.length + progress.length);
}

const nameOf = ({ producerId, producerEpoch }: Place): string => `producer ${producerId} epoch ${producerEpoch}`;

/** Epochs of one producer id rise; ids have no order, but one that was followed by another is over. */
class Order {
  readonly #findings: Findings;
  readonly #over = new Set<string>();
  #current: { id: string; epoch: number } | null = null;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  follow(place: Place, where: () => string): void {
    const { producerId: id, producerEpoch: epoch } = place;
    const current = this.#current;
    if (id === current?.id && epoch === current.epoch) return;
    if (id === "-1") this.#findings.add(8, "other", "a record was written without a transaction", where());
    if (id === current?.id ? epoch < current.epoch : this.#over.has(id)) {
      const what = `${where()} by ${nameOf(place)}, after producer ${current!.id} epoch ${current!.epoch}`;
      this.#findings.add(8, "other", "an older producer writes after a newer one", what);
      return;
    }
    if (current !== null && id !== current.id) this.#over.add(current.id);
    this.#current = { id, epoch };
  }
}
