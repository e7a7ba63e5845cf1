// A stream's topics folded by a plain consumer, by nothing but the words of docs/wire-format.md: no code of src/ is asked,
// so what the product gets wrong on both sides still shows.
import { unique } from "../../dev/servers/database.ts";
import { kafkaClient, listTopics } from "../../dev/servers/topics.ts";
import { waitFor } from "./wait-for.ts";

/** A row by its columns: values as JSON has them. */
export type FoldedRow = Record<string, unknown>;

export interface FoldedTable {
  /** By record key. */
  readonly keyed: Map<string, { row: FoldedRow; sequence: number }>;
  /** Of a table without a key: each distinct row, and how often it is there. */
  readonly bag: Map<string, number>;
  /** The gap of a snapshot whose sweep is not there yet. */
  open: number | null;
}

export interface FoldedStream {
  readonly tables: ReadonlyMap<string, FoldedTable>;
  readonly sequence: number;
  /** What is wrong with the stream itself. */
  readonly faults: readonly string[];
}

interface Wire {
  readonly sequence: number;
  readonly table: string | null;
  readonly operation: string;
  readonly key: FoldedRow | null;
  readonly before: FoldedRow | null;
  readonly after: FoldedRow | null;
  readonly unchanged?: readonly string[];
  readonly since?: number;
  readonly reason?: string;
  readonly nextKey?: FoldedRow;
  readonly previousKey?: FoldedRow;
}

interface Stored {
  readonly place: string;
  readonly key: string | null;
  readonly event: Wire;
}

const BARRIERS = new Set(["truncate", "gap", "sweep"]);

export async function foldStream(brokers: string[], stream: string): Promise<FoldedStream> {
  const own = new Set([`${stream}.progress`, `${stream}.schemas`, `${stream}.messages`]);
  const topics = (await listTopics(brokers, `${stream}.`)).filter((topic) => !own.has(topic));
  const stored = topics.length === 0 ? [] : await readAll(brokers, topics);
  const faults: string[] = [];
  const bySequence = new Map<number, Stored>();
  const seen = new Set<string>();
  for (const one of stored) {
    const { sequence, operation } = one.event;
    const before = bySequence.get(sequence);
    const isCopy = before !== undefined && BARRIERS.has(operation) && !seen.has(`${sequence} ${one.place}`);
    if (before !== undefined && !isCopy) faults.push(`sequence ${sequence} twice`);
    seen.add(`${sequence} ${one.place}`);
    bySequence.set(sequence, one);
  }
  const sequence = [...bySequence.keys()].reduce((high, one) => Math.max(high, one), 0);
  for (let each = 1; each <= sequence; each++) {
    if (!bySequence.has(each)) faults.push(`sequence ${each} missing`);
  }
  const tables = new Map<string, FoldedTable>();
  for (const one of [...bySequence.values()].sort((a, b) => a.event.sequence - b.event.sequence)) {
    const name = one.event.table!;
    const table = tables.get(name) ?? { keyed: new Map(), bag: new Map(), open: null };
    tables.set(name, table);
    const fault = apply(table, one);
    if (fault !== null) faults.push(`${fault}: ${JSON.stringify(one.event).slice(0, 400)}`);
  }
  return { tables, sequence, faults };
}

/** Values of rows that a key change moves, by the new record key: the insert follows at once. */
const moved = new WeakMap<FoldedTable, Map<string, FoldedRow>>();

function apply(table: FoldedTable, { key, event }: Stored): string | null {
  const { operation, before, after, sequence } = event;
  switch (operation) {
    case "truncate":
      table.keyed.clear();
      table.bag.clear();
      return null;
    case "gap":
      table.open = event.reason!.startsWith("snapshot:") ? sequence : table.open;
      if (event.reason!.includes("the table has no key")) {
        table.keyed.clear();
        table.bag.clear();
      }
      return null;
    case "sweep":
      for (const [id, row] of table.keyed) {
        if (row.sequence < event.since!) table.keyed.delete(id);
      }
      table.open = null;
      return null;
  }
  if (event.key === null) {
    if (before !== null) count(table.bag, before, -1);
    if (after !== null) count(table.bag, after, 1);
    return operation === "update" && before === null ? "an update without a key or an old row" : null;
  }
  const id = key!;
  const had = table.keyed.get(id);
  const ways = moved.get(table) ?? new Map<string, FoldedRow>();
  moved.set(table, ways);
  if (operation === "delete") {
    table.keyed.delete(id);
    if (event.nextKey !== undefined && had !== undefined) ways.set(asKey(event.nextKey), had.row);
    return had === undefined && table.open === null ? "a delete of a row that is not there" : null;
  }
  const unchanged = event.unchanged ?? [];
  const source = event.previousKey === undefined ? had?.row : ways.get(id);
  ways.delete(id);
  const missing = unchanged.filter((name) => source === undefined || !(name in source));
  if (missing.length > 0) return table.open === null ? `values of ${missing} were never told` : null;
  const row = { ...after!, ...Object.fromEntries(unchanged.map((name) => [name, source![name]])) };
  table.keyed.set(id, { row, sequence });
  return operation === "insert" && had !== undefined && table.open === null ? "an insert of a row that is there" : null;
}

/** As a record key is written. */
function asKey(key: FoldedRow): string {
  return JSON.stringify(Object.fromEntries(Object.entries(key).map(([name, value]) => [name, String(value)])));
}

function count(bag: Map<string, number>, row: FoldedRow, by: number): void {
  const id = JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
  const now = (bag.get(id) ?? 0) + by;
  if (now === 0) bag.delete(id);
  else bag.set(id, now);
}

async function readAll(brokers: string[], topics: string[]): Promise<Stored[]> {
  const kafka = kafkaClient(brokers);
  const admin = kafka.admin();
  await admin.connect();
  const groupId = unique("fold");
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50 });
  try {
    const ends = new Map<string, bigint>();
    for (const topic of topics) {
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        if (BigInt(high) > BigInt(low)) ends.set(`${topic}/${partition}`, BigInt(high));
      }
    }
    const stored = new Map<string, Stored>();
    let crash: Error | undefined;
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) crash = payload.error;
    });
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      const place = `${payload.topic}/${payload.partition}`;
      if (BigInt(payload.lastOffset) + 1n >= (ends.get(place) ?? 0n)) ends.delete(place);
    });
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const place = `${batch.topic}/${batch.partition}`;
        for (const { offset, key, value } of batch.messages) {
          const event = JSON.parse(String(value)) as Wire;
          stored.set(`${place}/${offset}`, { place, key: key?.toString() ?? null, event });
        }
      },
    });
    await waitFor(
      () => {
        if (crash) throw crash;
        return ends.size === 0;
      },
      { what: "the ends of all topics", timeout: 240_000 },
    );
    return [...stored.values()];
  } finally {
    await consumer.disconnect();
    await admin.deleteGroups([groupId]).catch(() => undefined);
    await admin.disconnect();
  }
}
