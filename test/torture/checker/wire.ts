// Records of a stream read strictly by their documented layout (docs/wire-format.md), without any code of the project:
// the judge must not share a mistake with the judged.
import { JsonReader, LayoutError, type Pairs } from "./json-reader.ts";

export interface WireEvent {
  readonly table: string;
  readonly operation: "insert" | "update" | "delete" | "truncate";
  readonly key: Pairs | null;
  readonly before: Pairs | null;
  readonly after: Pairs | null;
  readonly timestamp: string;
  readonly sequence: number;
  readonly xid: string;
  readonly lsn: bigint;
  readonly index: number;
  readonly last: boolean;
  readonly schema: number;
  readonly previousKey: Pairs | null;
  readonly nextKey: Pairs | null;
  readonly unchanged: readonly string[];
  /** Of a truncate; else 0. */
  readonly copies: number;
}

export interface WireProgress {
  readonly stream: string;
  readonly firstSequence: number;
  readonly sequence: number;
  readonly completeSequence: number;
  readonly endLsn: bigint;
  readonly last: {
    readonly lsn: bigint;
    readonly xid: string;
    readonly timestamp: string;
    readonly index: number;
    /** Null where it is not said. */
    readonly message: number | null;
    readonly rest: number;
    readonly complete: boolean;
  } | null;
  /** Server, database, slot and publication, as they stand: one stream has one of each. */
  readonly origin: string;
  readonly partitions: readonly VectorEntry[];
}

export interface VectorEntry {
  readonly topic: string;
  readonly partition: number;
  readonly sequence: number;
  readonly offset: number;
}

const OPERATIONS = new Set(["insert", "update", "delete", "truncate"]);
const LSN = /^(0|[1-9A-F][0-9A-F]{0,7})\/(0|[1-9A-F][0-9A-F]{0,7})$/;
const TIMESTAMP = /^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const XID = /^[1-9]\d{0,9}$/;

/** Throws LayoutError. */
export function readEvent(json: string): WireEvent {
  const reader = new JsonReader(json);
  reader.literal('{"v":1,"table":');
  const table = reader.string();
  reader.literal(',"operation":');
  const operation = reader.string() as WireEvent["operation"];
  if (!OPERATIONS.has(operation)) throw new LayoutError(`the operation ${JSON.stringify(operation)} is not written`);
  reader.literal(',"key":');
  const key = reader.pairsOrNull();
  reader.literal(',"before":');
  const before = reader.pairsOrNull();
  reader.literal(',"after":');
  const after = reader.pairsOrNull();
  reader.literal(',"timestamp":');
  const timestamp = timestampOf(reader);
  reader.literal(',"sequence":');
  const sequence = reader.count();
  reader.literal(',"transaction":{"id":');
  const xid = xidOf(reader);
  reader.literal(',"epoch":1,"lsn":');
  const lsn = lsnOf(reader);
  reader.literal(',"index":');
  const index = reader.count();
  const last = reader.accepts(',"last":true');
  reader.literal('},"schema":');
  const schema = reader.count();
  const previousKey = operation === "insert" && reader.accepts(',"previousKey":') ? reader.pairs() : null;
  const nextKey = operation === "delete" && reader.accepts(',"nextKey":') ? reader.pairs() : null;
  const unchanged = operation !== "truncate" && reader.accepts(',"unchanged":') ? reader.strings() : [];
  let copies = 0;
  if (operation === "truncate") {
    reader.literal(',"copies":');
    copies = reader.count();
  }
  reader.literal("}");
  reader.end();
  if (sequence === 0 || index === 0 || schema === 0) throw new LayoutError("sequence, index and schema begin at 1");
  return {
    ...{ table, operation, key, before, after, timestamp, sequence, xid, lsn, index, last, schema },
    ...{ previousKey, nextKey, unchanged, copies },
  };
}

/** Throws LayoutError. */
export function readProgress(json: string): WireProgress {
  const reader = new JsonReader(json);
  reader.literal('{"v":1,"stream":');
  const stream = reader.string();
  reader.literal(',"epoch":1,"firstSequence":');
  const firstSequence = reader.count();
  reader.literal(',"sequence":');
  const sequence = reader.count();
  reader.literal(',"completeSequence":');
  const completeSequence = reader.count();
  reader.literal(',"endLsn":');
  const endLsn = lsnOf(reader);
  reader.literal(',"last":');
  const last = reader.accepts("null") ? null : lastOf(reader);
  reader.literal(',"systemId":');
  const systemId = reader.string();
  reader.literal(',"timeline":');
  reader.count();
  reader.literal(',"database":');
  const database = reader.count();
  reader.literal(',"slot":');
  const slot = reader.string();
  reader.literal(',"publication":');
  const publication = reader.count();
  const publicationXmin = reader.accepts(',"publicationXmin":') ? reader.count() : null;
  reader.literal(',"resume":');
  reader.string();
  reader.literal(',"partitions":');
  const partitions = vectorOf(reader);
  if (reader.accepts(',"schemaOffset":')) {
    reader.count();
  }
  reader.literal(',"snapshot":null}');
  reader.end();
  const origin = `server ${systemId}, database ${database}, slot ${slot}, publication ${publication} (${publicationXmin})`;
  return { stream, firstSequence, sequence, completeSequence, endLsn, last, origin, partitions };
}

function lastOf(reader: JsonReader): WireProgress["last"] {
  reader.literal('{"commitLsn":');
  const lsn = lsnOf(reader);
  reader.literal(',"xid":');
  const xid = xidOf(reader);
  reader.literal(',"timestamp":');
  const timestamp = timestampOf(reader);
  reader.literal(',"index":');
  const index = reader.count();
  const message = reader.accepts(',"message":') ? reader.count() : null;
  const rest = reader.accepts(',"rest":') ? reader.count() : 0;
  reader.literal(',"complete":');
  const complete = reader.boolean();
  reader.literal("}");
  return { lsn, xid, timestamp, index, message, rest, complete };
}

function vectorOf(reader: JsonReader): VectorEntry[] {
  const entries: VectorEntry[] = [];
  reader.literal("{");
  if (reader.accepts("}")) return entries;
  do {
    const topic = reader.string();
    reader.literal(":{");
    do {
      const partition = Number(reader.string());
      reader.literal(':{"sequence":');
      const sequence = reader.count();
      reader.literal(',"offset":');
      entries.push({ topic, partition, sequence, offset: reader.count() });
      reader.literal("}");
    } while (reader.accepts(","));
    reader.literal("}");
  } while (reader.accepts(","));
  reader.literal("}");
  return entries;
}

function lsnOf(reader: JsonReader): bigint {
  const text = reader.string();
  const match = LSN.exec(text);
  if (match === null) throw new LayoutError(`${JSON.stringify(text)} is not an LSN`);
  return BigInt(`0x${match[1]}${match[2]!.padStart(8, "0")}`);
}

function timestampOf(reader: JsonReader): string {
  const text = reader.string();
  if (!TIMESTAMP.test(text)) throw new LayoutError(`${JSON.stringify(text)} is not a timestamp with microseconds`);
  return text;
}

function xidOf(reader: JsonReader): string {
  const text = reader.string();
  if (!XID.test(text) || Number(text) > 0xffff_ffff) throw new LayoutError(`${JSON.stringify(text)} is not an xid`);
  return text;
}

/** The text form that Postgres prints. */
export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}
