// All records of a stream, parsed and put in order: what the groups of invariants are judged on.
import type { Evidence, ReadRecord } from "../evidence.ts";
import type { Findings } from "./findings.ts";
import { LayoutError } from "./json-reader.ts";
import { type Row, Table } from "./table.ts";
import { formatLsn, readEvent, readProgress, type WireEvent, type WireProgress } from "./wire.ts";

type Carried =
  | "operation"
  | "timestamp"
  | "sequence"
  | "xid"
  | "lsn"
  | "index"
  | "last"
  | "schema"
  | "unchanged"
  | "copies";

export interface SeenEvent extends Pick<WireEvent, Carried> {
  readonly table: Table;
  /** Record keys that belong to the key fields. */
  readonly key: string | null;
  readonly previousKey: string | null;
  readonly nextKey: string | null;
  /** The old row under FULL; of a keyless table the columns of its identity. */
  readonly before: Row | null;
  /** The record key that belongs to `before` where that holds the key alone. */
  readonly beforeKey: string | null;
  readonly after: Row | null;
  /** Names of the columns that `after` holds, as JSON; null without one. */
  readonly shape: string | null;
  /** Where it stands; a barrier in several partitions. */
  readonly places: readonly Place[];
}

export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly producerId: string;
  readonly producerEpoch: number;
}

export interface SeenProgress extends WireProgress {
  readonly place: Place;
}

/** The events of one source transaction that stand together. */
export interface Run {
  readonly xid: string;
  readonly lsn: bigint;
  readonly events: readonly SeenEvent[];
}

export interface History {
  readonly tables: ReadonlyMap<string, Table>;
  /** By sequence; copies of a barrier are one. */
  readonly events: readonly SeenEvent[];
  readonly runs: readonly Run[];
  /** Events by `topic/partition`, in the order of offsets. */
  readonly partitions: ReadonlyMap<string, readonly { readonly offset: number; readonly event: SeenEvent }[]>;
  /** By offset. */
  readonly progress: readonly SeenProgress[];
}

export function readHistory(evidence: Evidence, findings: Findings): History {
  const columns = columnsOf(evidence);
  const tables = new Map(evidence.tables.map((spec) => [spec.table, new Table(spec, columns.get(spec.table))]));
  const byTopic = new Map([...tables.values()].map((table) => [table.spec.topic, table]));
  const bySequence = new Map<number, { value: string; event: SeenEvent & { places: Place[] } }[]>();
  const partitions = new Map<string, { offset: number; event: SeenEvent }[]>();
  for (const record of evidence.records) {
    const place = placeOf(record);
    const value = record.value ?? "";
    try {
      const found = readEvent(value);
      const same = bySequence.get(found.sequence) ?? [];
      bySequence.set(found.sequence, same);
      const known = same.find((other) => other.value === value);
      const event = known?.event ?? { ...understand(found, record, tables, byTopic), places: [] };
      if (known === undefined) same.push({ value, event });
      event.places.push(place);
      checkRecord(event, record, byTopic, findings);
      const name = `${record.topic}/${record.partition}`;
      const list = partitions.get(name) ?? [];
      partitions.set(name, list);
      list.push({ offset: place.offset, event });
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error;
      findings.add(2, "other", "a record is no event", `${describePlace(place)}: ${error.message}`);
    }
  }
  for (const list of partitions.values()) list.sort((a, b) => a.offset - b.offset);
  const events = [...bySequence.values()].flatMap((same) => same.map(({ event }) => event));
  events.sort((a, b) => a.sequence - b.sequence || a.places[0]!.offset - b.places[0]!.offset);
  return { tables, events, runs: runsOf(events), partitions, progress: progressOf(evidence, findings) };
}

/** Which tables had other columns on the way than they have at the end. */
function columnsOf({ tables, audit }: Evidence): Map<string, { dropped: string[]; evolves: boolean }> {
  const known = new Map(tables.map(({ table, columns }) => [table, new Set(columns)]));
  const found = new Map<string, { dropped: string[]; evolves: boolean }>();
  for (const { table, old, new: row } of audit) {
    const columns = known.get(table);
    const names = row ?? old;
    if (columns === undefined || names === null) continue;
    const own = found.get(table) ?? { dropped: [], evolves: false };
    found.set(table, own);
    for (const name of names.keys()) {
      if (columns.has(name)) continue;
      columns.add(name);
      own.dropped.push(name);
      own.evolves = true;
    }
    own.evolves ||= names.size !== columns.size;
  }
  return found;
}

function placeOf({ topic, partition, offset, producerId, producerEpoch }: ReadRecord): Place {
  return { topic, partition, offset: Number(offset), producerId, producerEpoch };
}

const SHAPES = new Map<string, string>();

/** Events share their few shapes. */
function shared(shape: string): string {
  const known = SHAPES.get(shape);
  if (known === undefined) SHAPES.set(shape, shape);
  return known ?? shape;
}

function understand(
  wire: WireEvent,
  record: ReadRecord,
  tables: ReadonlyMap<string, Table>,
  byTopic: ReadonlyMap<string, Table>,
): Omit<SeenEvent, "places"> {
  const table = tables.get(wire.table) ?? byTopic.get(record.topic);
  if (table === undefined) throw new LayoutError(`${wire.table} is no captured table`);
  const { operation, timestamp, sequence, xid, lsn, index, last, schema, unchanged, copies } = wire;
  const holdsKeyAlone = !table.isFull && table.hasKey;
  return {
    ...{ table, operation, timestamp, sequence, xid, lsn, index, last, schema, unchanged, copies },
    key: wire.key && table.keyOfPairs(wire.key),
    previousKey: wire.previousKey && table.keyOfPairs(wire.previousKey),
    nextKey: wire.nextKey && table.keyOfPairs(wire.nextKey),
    before: holdsKeyAlone ? null : wire.before && table.row(wire.before),
    beforeKey: holdsKeyAlone ? wire.before && table.keyOfPairs(wire.before) : null,
    after: wire.after && table.row(wire.after),
    shape: wire.after && shared(JSON.stringify(wire.after.names)),
  };
}

/** What of a record is not in its value: topic, partition and key. */
function checkRecord(
  event: SeenEvent,
  { topic, partition, key }: ReadRecord,
  byTopic: ReadonlyMap<string, Table>,
  findings: Findings,
): void {
  const { table } = event;
  if (byTopic.get(topic) !== table) {
    findings.add(2, "other", "an event stands in another table's topic", describe(event));
    return;
  }
  if (key !== event.key)
    findings.add(2, "other", "a record has another key than its event", `${describe(event)}, ${key}`);
  const isThere =
    event.operation === "truncate" ? partition < table.spec.partitions : partition === table.partitionOf(key);
  if (!isThere) findings.add(2, "other", "an event stands in another partition than its key's", describe(event));
}

function runsOf(events: readonly SeenEvent[]): Run[] {
  const runs: { xid: string; lsn: bigint; events: SeenEvent[] }[] = [];
  for (const event of events) {
    const run = runs.at(-1);
    if (run !== undefined && run.xid === event.xid && run.lsn === event.lsn) run.events.push(event);
    else runs.push({ xid: event.xid, lsn: event.lsn, events: [event] });
  }
  return runs;
}

function progressOf({ progress }: Evidence, findings: Findings): SeenProgress[] {
  const seen: SeenProgress[] = [];
  for (const record of progress) {
    const place = placeOf(record);
    try {
      seen.push({ ...readProgress(record.value ?? ""), place });
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error;
      findings.add(7, "other", "a record is no progress record", `${describePlace(place)}: ${error.message}`);
    }
  }
  return seen.sort((a, b) => a.place.offset - b.place.offset);
}

export function describePlace({ topic, partition, offset }: Place): string {
  return `${topic}/${partition} at ${offset}`;
}

export function describe({ table, operation, key, sequence, xid, lsn, places }: SeenEvent): string {
  const place = places.at(-1);
  const where = place === undefined ? "" : `, ${describePlace(place)}`;
  return `${operation} ${table.name} ${key ?? "without key"}, sequence ${sequence}${where}, xid ${xid} at ${formatLsn(lsn)}`;
}

/** The 32 bits of an xid8 that events carry. */
export function shortXid(xid8: string): string {
  return String(BigInt(xid8) & 0xffff_ffffn);
}
