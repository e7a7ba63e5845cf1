// A batch's events by the partition they go to, and what was written where.
import type { PartitionPosition, Progress } from "../event/progress.ts";
import type { WrittenPartition } from "../kafka/offsets.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import type { EncodedEvent } from "./encode-event.ts";

export function groupByPartition(events: readonly EncodedEvent[]): Map<string, Map<number, EncodedEvent[]>> {
  const records = new Map<string, Map<number, EncodedEvent[]>>();
  for (const event of events) {
    let byPartition = records.get(event.topic);
    if (byPartition === undefined) {
      byPartition = new Map();
      records.set(event.topic, byPartition);
    }
    if (event.partition === "all") {
      for (let partition = 0; partition < event.copies; partition++) {
        append(byPartition, partition, event);
      }
    } else {
      append(byPartition, event.partition, event);
    }
  }
  return records;
}

export function placesOf(records: ReadonlyMap<string, ReadonlyMap<number, unknown>>): TopicPartition[] {
  return [...records].flatMap(([topic, byPartition]) =>
    [...byPartition.keys()].map((partition) => ({ topic, partition })),
  );
}

function append(byPartition: Map<number, EncodedEvent[]>, partition: number, event: EncodedEvent): void {
  const list = byPartition.get(partition);
  if (list === undefined) {
    byPartition.set(partition, [event]);
  } else {
    list.push(event);
  }
}

/** The last sequence and offset of every partition that was written. */
export function vectorOf(
  events: ReadonlyMap<string, ReadonlyMap<number, readonly EncodedEvent[]>>,
  offsets: ReadonlyMap<string, ReadonlyMap<number, { lastOffset: bigint }>>,
): Progress["partitions"] {
  const vector = new Map<string, Map<number, PartitionPosition>>();
  for (const [topic, byPartition] of events) {
    const positions = new Map<number, PartitionPosition>();
    for (const [partition, list] of byPartition) {
      const offset = offsets.get(topic)!.get(partition)!.lastOffset;
      positions.set(partition, { sequence: list.at(-1)!.sequence, offset });
    }
    vector.set(topic, positions);
  }
  return vector;
}

/** The last offset of every partition that was written. */
export function lastsOf(
  appended: readonly ReadonlyMap<string, ReadonlyMap<number, { lastOffset: bigint }>>[],
): WrittenPartition[] {
  return appended.flatMap((topics) =>
    [...topics].flatMap(([topic, partitions]) =>
      [...partitions].map(([partition, { lastOffset }]) => ({ topic, partition, lastOffset })),
    ),
  );
}
