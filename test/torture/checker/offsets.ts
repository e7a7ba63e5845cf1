// Invariant 9: an offset has one value, for every reader at every time; and readers that follow see them all, in order.
import type { Evidence, ReadRecord } from "../evidence.ts";
import { brief, type Findings } from "./findings.ts";

type Partition = Map<bigint, ReadRecord>;

export function checkOffsets({ records, progress, followed, whole }: Evidence, findings: Findings): void {
  const final = byPartition([...records, ...progress], (record, known) => {
    findings.add(
      9,
      "other",
      "a read gives one offset twice",
      `${placeOf(record)}: ${differenceOf(record, known) ?? "alike"}`,
    );
  });
  checkFollowed(final, followed, findings);
  checkSkipped(final, followed, findings);
  if (whole) checkReached(final, followed, findings);
  findings.examined(9, followed.length);
}

function byPartition(records: readonly ReadRecord[], again: (record: ReadRecord, known: ReadRecord) => void) {
  const partitions = new Map<string, Partition>();
  for (const record of records) {
    const name = `${record.topic}/${record.partition}`;
    let partition = partitions.get(name);
    if (partition === undefined) {
      partition = new Map();
      partitions.set(name, partition);
    }
    const known = partition.get(record.offset);
    if (known === undefined) partition.set(record.offset, record);
    else again(record, known);
  }
  return partitions;
}

function checkFollowed(
  final: ReadonlyMap<string, Partition>,
  followed: readonly ReadRecord[],
  findings: Findings,
): void {
  const seen = new Map<string, { highest: bigint; offsets: Set<bigint> }>();
  for (const record of followed) {
    const name = `${record.topic}/${record.partition}`;
    const there = final.get(name)?.get(record.offset);
    if (there === undefined) {
      findings.add(9, "other", "what a reader saw is gone", placeOf(record));
    } else {
      const difference = differenceOf(record, there);
      if (difference !== null)
        findings.add(9, "other", "an offset has two values", `${placeOf(record)}: ${difference}`);
    }
    let own = seen.get(name);
    if (own === undefined) {
      own = { highest: -1n, offsets: new Set() };
      seen.set(name, own);
    }
    // A reader that began again sees what it saw before; anything else below the highest came late.
    if (record.offset < own.highest && !own.offsets.has(record.offset)) {
      findings.add(
        9,
        "misordered",
        "a reader saw an offset after a higher one",
        `${placeOf(record)} after ${own.highest}`,
      );
    }
    own.offsets.add(record.offset);
    if (record.offset > own.highest) own.highest = record.offset;
  }
}

/** What a reader from the beginning passed by was made to appear afterwards. */
function checkSkipped(
  final: ReadonlyMap<string, Partition>,
  followed: readonly ReadRecord[],
  findings: Findings,
): void {
  const seen = byPartition(followed, () => undefined);
  for (const [name, records] of seen) {
    let highest = -1n;
    for (const offset of records.keys()) if (offset > highest) highest = offset;
    for (const record of final.get(name)?.values() ?? []) {
      if (record.offset < highest && !records.has(record.offset)) {
        findings.add(
          9,
          "other",
          "a reader passed by an offset that holds a record",
          `${placeOf(record)}, it reached ${highest}`,
        );
      }
    }
  }
}

/** A reader that followed to the end got everything: else it proves nothing of what it did not get. */
function checkReached(
  final: ReadonlyMap<string, Partition>,
  followed: readonly ReadRecord[],
  findings: Findings,
): void {
  const seen = byPartition(followed, () => undefined);
  for (const [name, records] of final) {
    for (const record of records.values()) {
      if (!seen.get(name)?.has(record.offset))
        findings.add(9, "other", "a reader that followed lacks a record", placeOf(record));
    }
  }
}

function differenceOf(one: ReadRecord, other: ReadRecord): string | null {
  if (one.value !== other.value) return `${brief(one.value)} and ${brief(other.value)}`;
  if (one.key !== other.key) return `the keys ${brief(one.key)} and ${brief(other.key)}`;
  const [a, b] = [one, other].map(({ producerId, producerEpoch }) => `producer ${producerId} epoch ${producerEpoch}`);
  return a === b ? null : `${a} and ${b}`;
}

const placeOf = ({ topic, partition, offset }: ReadRecord): string => `${topic}/${partition} at ${offset}`;
