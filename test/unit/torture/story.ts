// Evidence of a history that never took place: a database in memory, and what a faultless stream would hold of it.
import { Partitioners } from "kafkajs";
import type { AuditRow, CatalogTable, ReadRecord, SourceCommit, TableSpec, TextRow } from "../../torture/evidence.ts";
import type { Random } from "../../torture/random.ts";

export const STREAM = "story";
export const PARTITIONS = 4;

type Row = Record<string, string | null>;

const toMap = (row: Row, { columns }: TableSpec): TextRow => new Map(columns.map((name) => [name, row[name] ?? null]));

const formatLsn = (lsn: bigint): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;

interface Event {
  readonly table: TableSpec;
  readonly operation: string;
  readonly key: Row | null;
  readonly before: Row | null;
  readonly after: Row | null;
  readonly previousKey?: Row;
  readonly nextKey?: Row;
  readonly unchanged?: readonly string[];
}

const partitioner = Partitioners.DefaultPartitioner();
const LEADERS = Array.from({ length: PARTITIONS }, (_, partitionId) => ({ partitionId, leader: 0 }));

export class Story {
  readonly tables: readonly TableSpec[];
  readonly audit: AuditRow[] = [];
  readonly commits: SourceCommit[] = [];
  readonly statuses = new Map<string, string>();
  readonly records: ReadRecord[] = [];
  readonly progress: ReadRecord[] = [];
  readonly schemas: ReadRecord[] = [];
  readonly rows: Map<string, Row[]>;
  producer = { id: "4001", epoch: 0 };
  endLsn = 0x1_0000_0000n;
  sequence = 0;
  #first = 1;
  #complete = 0;
  #last: object | null = null;
  #ordinal = 0n;
  #transactions = 0;
  readonly #random: Random;
  #vector: Record<string, Record<string, { sequence: number; offset: number }>> = {};
  readonly #offsets = new Map<string, bigint>();

  constructor(tables: readonly TableSpec[], random: Random) {
    this.tables = tables;
    this.#random = random;
    this.rows = new Map(tables.map(({ table }) => [table, []]));
    tables.forEach((table, at) => {
      this.#append(this.schemas, `${STREAM}.schemas`, 0, String(at + 1), schemaJson(table, at + 1));
    });
    this.publish();
  }

  /** As the catalogue has them. */
  get catalog(): Map<string, CatalogTable> {
    return new Map(this.tables.map((table, at) => [table.table, { oid: 20_000 + at + 1, columns: columnsOf(table) }]));
  }

  table(name: string): TableSpec {
    return this.tables.find(({ table }) => table === name)!;
  }

  /** One source transaction; each inner list of changes is published by a Kafka transaction of its own. */
  transaction(...pieces: ((changes: Changes) => void)[]): void {
    const number = this.#transactions++;
    // Every second transaction commits before the one that began before it.
    const xid8 = String(0x1_0000_0000n + 700n + BigInt(number ^ 1));
    const xid = String(BigInt(xid8) & 0xffff_ffffn);
    const commitLsn = this.endLsn + 0x100n;
    const second = String(number % 60).padStart(2, "0");
    const micros = String(this.#random.pick([0, 123_000, this.#random.int(0, 999_999)])).padStart(6, "0");
    const timestamp = `2026-11-22T18:00:${second}.${micros}Z`;
    let index = 0;
    pieces.forEach((piece, at) => {
      const isLastPiece = at === pieces.length - 1;
      const changes = new Changes(this, xid8, () => ++this.#ordinal);
      piece(changes);
      changes.events.forEach((event, place) => {
        const last = isLastPiece && place === changes.events.length - 1;
        const transaction = { id: xid, epoch: 1, lsn: formatLsn(commitLsn), index: ++index, ...(last && { last }) };
        this.#write(event, timestamp, transaction);
        this.#last = {
          commitLsn: formatLsn(commitLsn),
          xid,
          timestamp,
          index,
          ...(!last && { message: index }),
          complete: last,
        };
      });
      this.audit.push(...changes.audit);
      if (!isLastPiece) this.publish();
    });
    this.statuses.set(xid8, "committed");
    this.commits.push({ xid, commitLsn, timestamp });
    this.#complete = this.sequence;
    this.endLsn = commitLsn + 0x30n;
  }

  /** Ends the Kafka transaction with its progress record. */
  publish(): void {
    const value = JSON.stringify({
      ...{ v: 1, stream: STREAM, epoch: 1, firstSequence: this.#first, sequence: this.sequence },
      ...{ completeSequence: this.#complete, endLsn: formatLsn(this.endLsn), last: this.#last },
      ...{ systemId: "7711091512430546937", timeline: 1, database: 16384, slot: "afterimage_story" },
      ...{ publication: 16999, resume: "bf015b484ef3a03e", partitions: this.#vector, snapshot: null },
    });
    this.#append(this.progress, `${STREAM}.progress`, 0, STREAM, value);
    this.#first = this.sequence + 1;
    this.#vector = {};
    for (const [name, offset] of this.#offsets) this.#offsets.set(name, offset + 1n); // the marker
  }

  /** WAL without events. */
  idle(): void {
    this.endLsn += 0x50n;
    this.publish();
  }

  #write(event: Event, timestamp: string, transaction: object): void {
    const { table, operation } = event;
    const sequence = ++this.sequence;
    const isBarrier = operation === "truncate";
    const parts = [
      `{"v":1,"table":${JSON.stringify(table.table)},"operation":"${operation}"`,
      `"key":${json(event.key, table, table.key)}`,
      `"before":${json(event.before, table, event.before === event.key ? table.key : undefined)}`,
      `"after":${json(event.after, table)}`,
      `"timestamp":"${timestamp}","sequence":${sequence},"transaction":${JSON.stringify(transaction)}`,
      `"schema":${this.tables.indexOf(table) + 1}`,
      ...(event.previousKey ? [`"previousKey":${json(event.previousKey, table, table.key)}`] : []),
      ...(event.nextKey ? [`"nextKey":${json(event.nextKey, table, table.key)}`] : []),
      ...(event.unchanged?.length ? [`"unchanged":${JSON.stringify(event.unchanged)}`] : []),
      ...(isBarrier ? [`"copies":${PARTITIONS}`] : []),
    ];
    const key = event.key && JSON.stringify(Object.fromEntries(table.key.map((name) => [name, event.key![name]])));
    const message = { key: Buffer.from(key ?? table.table), value: null };
    const own = partitioner({ topic: table.topic, partitionMetadata: LEADERS as never, message });
    for (let partition = 0; partition < PARTITIONS; partition++) {
      if (!isBarrier && partition !== own) continue;
      const offset = this.#append(this.records, table.topic, partition, key, `${parts.join(",")}}`);
      this.#vector[table.topic] ??= {};
      this.#vector[table.topic]![partition] = { sequence, offset: Number(offset) };
    }
  }

  #append(list: ReadRecord[], topic: string, partition: number, key: string | null, value: string): bigint {
    const offset = this.#offsets.get(`${topic}/${partition}`) ?? 0n;
    this.#offsets.set(`${topic}/${partition}`, offset + 1n);
    const { id: producerId, epoch: producerEpoch } = this.producer;
    list.push({ topic, partition, offset, key, value, producerId, producerEpoch });
    return offset;
  }
}

/** The changes of a transaction, made to the rows of a story at once. */
export class Changes {
  readonly events: Event[] = [];
  readonly audit: AuditRow[] = [];
  readonly #story: Story;
  readonly #xid: string;
  readonly #next: () => bigint;

  constructor(story: Story, xid: string, next: () => bigint) {
    this.#story = story;
    this.#xid = xid;
    this.#next = next;
  }

  insert(name: string, row: Row): void {
    const table = this.#story.table(name);
    this.#story.rows.get(name)!.push(row);
    this.#note(table, "insert", null, row);
    this.events.push({ table, operation: "insert", key: keyOf(row, table), before: null, after: row });
  }

  /** `unchanged`: columns that Postgres would not send. */
  update(name: string, which: Row, change: Row, unchanged: readonly string[] = []): void {
    const table = this.#story.table(name);
    const rows = this.#story.rows.get(name)!;
    const at = this.#find(rows, which);
    const [old, row] = [rows[at]!, { ...rows[at]!, ...change }];
    rows[at] = row;
    this.#note(table, "update", old, row);
    const [oldKey, key] = [keyOf(old, table), keyOf(row, table)];
    const isFull = table.identity === "full";
    const sent = Object.fromEntries(Object.entries(row).filter(([column]) => !unchanged.includes(column)));
    if (JSON.stringify(oldKey) === JSON.stringify(key)) {
      this.events.push({ table, operation: "update", key, before: isFull ? old : null, after: sent, unchanged });
      return;
    }
    const gone = { table, operation: "delete", key: oldKey, before: isFull ? old : oldKey, after: null };
    this.events.push({ ...gone, nextKey: key!, unchanged });
    this.events.push({ table, operation: "insert", key, before: null, after: sent, previousKey: oldKey!, unchanged });
  }

  delete(name: string, which: Row): void {
    const table = this.#story.table(name);
    const rows = this.#story.rows.get(name)!;
    const [old] = rows.splice(this.#find(rows, which), 1);
    this.#note(table, "delete", old!, null);
    const key = keyOf(old!, table);
    this.events.push({ table, operation: "delete", key, before: table.identity === "full" ? old! : key, after: null });
  }

  truncate(...names: string[]): void {
    for (const name of names) {
      const table = this.#story.table(name);
      this.#story.rows.get(name)!.length = 0;
      this.#note(table, "truncate", null, null);
      this.events.push({ table, operation: "truncate", key: null, before: null, after: null });
    }
  }

  #find(rows: readonly Row[], which: Row): number {
    return rows.findIndex((row) => Object.entries(which).every(([name, text]) => row[name] === text));
  }

  #note(table: TableSpec, operation: AuditRow["operation"], old: Row | null, row: Row | null): void {
    const images = { old: old && toMap(old, table), new: row && toMap(row, table) };
    this.audit.push({ xid: this.#xid, ordinal: this.#next(), table: table.table, operation, ...images });
  }
}

const columnsOf = ({ columns, types }: TableSpec) =>
  columns.map((name) => ({ name, oid: types.has(name) ? 23 : 25, typmod: -1 }));

function schemaJson(table: TableSpec, id: number): string {
  const columns = columnsOf(table).map(({ name, oid, typmod }) => {
    const place = table.key.indexOf(name);
    return { name, type: oid === 23 ? "int4" : "text", oid, typmod, key: place === -1 ? null : place + 1 };
  });
  const own = {
    v: 1,
    schema: id,
    table: table.table,
    oid: 20_000 + id,
    publicationRel: 30_000 + id,
    topicId: `topic ${id}`,
  };
  const rows = {
    file: 1,
    toast: 0,
    columns: "",
    filled: [],
    types: {},
    names: {},
    place: "own",
    parts: "",
    composites: {},
    enums: {},
  };
  return JSON.stringify({ ...own, identity: table.identity[0], readAt: "1/0", rows, columns });
}

function keyOf(row: Row, { key }: TableSpec): Row | null {
  return key.length === 0 ? null : Object.fromEntries(key.map((name) => [name, row[name]!]));
}

function json(row: Row | null, { columns, types }: TableSpec, order: readonly string[] = columns): string {
  if (row === null) return "null";
  const names = order.filter((name) => name in row);
  const fields = names.map((name) => `${JSON.stringify(name)}:${scalar(row[name] ?? null, types.get(name))}`);
  return `{${fields.join(",")}}`;
}

function scalar(text: string | null, type: string | undefined): string {
  if (text === null) return "null";
  if (type === "bool") return text === "t" ? "true" : "false";
  return type === undefined || /^(NaN|-?Infinity)$/.test(text) ? JSON.stringify(text) : text;
}
