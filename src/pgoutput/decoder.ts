// Bytes of one pgoutput message → PgoutputMessage. Pure: keeps nothing between messages and nothing of the buffer.
import { type ColumnValue, UNCHANGED } from "../event/column-value.ts";
import { toLsn } from "../event/lsn.ts";
import type { ReplicaIdentity } from "../event/schema.ts";
import { ByteReader, malformed } from "./byte-reader.ts";
import type { Delete, Insert, OldTuple, PgoutputMessage, Relation, RelationColumn, Tuple, Update } from "./messages.ts";

const BYTE = {
  begin: 0x42,
  commit: 0x43,
  delete: 0x44,
  insert: 0x49,
  message: 0x4d,
  origin: 0x4f,
  relation: 0x52,
  truncate: 0x54,
  update: 0x55,
  type: 0x59,
  keyTuple: 0x4b,
  newTuple: 0x4e,
  wholeTuple: 0x4f,
  null: 0x6e,
  text: 0x74,
  unchanged: 0x75,
} as const;

/** Decodes one message. Throws PGOUTPUT_MALFORMED, or TEXT_UNDECODABLE where a name is not UTF-8. */
export function decodeMessage(bytes: Buffer): PgoutputMessage {
  const reader = new ByteReader(bytes);
  const message = readMessage(reader);
  reader.end();
  const { undecodable } = reader;
  return undecodable === null ? message : ({ ...message, undecodable } as PgoutputMessage);
}

function readMessage(reader: ByteReader): PgoutputMessage {
  const kind = reader.uint8();
  switch (kind) {
    case BYTE.insert:
      return readInsert(reader);
    case BYTE.update:
      return readUpdate(reader);
    case BYTE.delete:
      return readDelete(reader);
    case BYTE.begin:
      return {
        kind: "begin",
        commitLsn: toLsn(reader.uint64()),
        commitTime: reader.int64(),
        xid: reader.uint32(),
      };
    case BYTE.commit:
      reader.uint8(); // flags, unused by the protocol
      return {
        kind: "commit",
        commitLsn: toLsn(reader.uint64()),
        endLsn: toLsn(reader.uint64()),
        commitTime: reader.int64(),
      };
    case BYTE.relation:
      return readRelation(reader);
    case BYTE.truncate: {
      const count = reader.uint32();
      const options = reader.uint8();
      if (count * 4 !== reader.remaining) {
        throw malformed(`a truncate announces ${count} relations`);
      }
      return {
        kind: "truncate",
        cascade: (options & 1) !== 0,
        restartIdentity: (options & 2) !== 0,
        relations: Array.from({ length: count }, () => reader.uint32()),
      };
    }
    case BYTE.type:
      return { kind: "type", oid: reader.uint32(), schema: reader.cString(), name: reader.cString() };
    case BYTE.origin:
      return { kind: "origin", commitLsn: toLsn(reader.uint64()), name: reader.cString() };
    case BYTE.message: {
      const flags = reader.uint8();
      reader.uint64(); // the record's end, never a position
      const prefix = reader.cString();
      return { kind: "message", transactional: (flags & 1) !== 0, prefix, content: reader.bytes(reader.int32()) };
    }
    default:
      throw malformed(`its kind is 0x${kind.toString(16)}`);
  }
}

function readRelation(reader: ByteReader): Relation {
  const oid = reader.uint32();
  const schema = reader.cString();
  const table = reader.cString();
  const identity = String.fromCharCode(reader.uint8());
  if (!isReplicaIdentity(identity)) {
    throw malformed(`a relation has the replica identity ${JSON.stringify(identity)}`);
  }
  const count = reader.uint16();
  const columns: RelationColumn[] = [];
  for (let place = 0; place < count; place++) {
    const flags = reader.uint8();
    columns.push({
      name: reader.cString(),
      typeOid: reader.uint32(),
      typmod: reader.int32(),
      identity: (flags & 1) !== 0,
    });
  }
  // An empty namespace stands for pg_catalog.
  return { kind: "relation", oid, schema: schema === "" ? "pg_catalog" : schema, table, identity, columns };
}

function isReplicaIdentity(text: string): text is ReplicaIdentity {
  return text === "d" || text === "f" || text === "i" || text === "n";
}

function readInsert(reader: ByteReader): Insert {
  const relation = reader.uint32();
  expectNewTuple(reader.uint8());
  return { kind: "insert", relation, new: readTuple(reader) };
}

function readUpdate(reader: ByteReader): Update {
  const relation = reader.uint32();
  let mark = reader.uint8();
  let old: OldTuple | null = null;
  if (mark === BYTE.keyTuple || mark === BYTE.wholeTuple) {
    old = { form: mark === BYTE.keyTuple ? "key" : "whole", values: readTuple(reader) };
    mark = reader.uint8();
  }
  expectNewTuple(mark);
  return { kind: "update", relation, old, new: readTuple(reader) };
}

function readDelete(reader: ByteReader): Delete {
  const relation = reader.uint32();
  const mark = reader.uint8();
  if (mark !== BYTE.keyTuple && mark !== BYTE.wholeTuple) {
    throw malformed(`a delete holds a tuple of kind 0x${mark.toString(16)}`);
  }
  return {
    kind: "delete",
    relation,
    old: { form: mark === BYTE.keyTuple ? "key" : "whole", values: readTuple(reader) },
  };
}

function expectNewTuple(mark: number): void {
  if (mark !== BYTE.newTuple) {
    throw malformed(`a new row is announced by 0x${mark.toString(16)}`);
  }
}

function readTuple(reader: ByteReader): Tuple {
  const count = reader.uint16();
  const values: ColumnValue[] = [];
  for (let place = 0; place < count; place++) {
    const kind = reader.uint8();
    switch (kind) {
      case BYTE.text:
        values.push(reader.value(reader.uint32()));
        break;
      case BYTE.null:
        values.push(null);
        break;
      case BYTE.unchanged:
        values.push(UNCHANGED);
        break;
      default:
        // Binary ('b') is never asked for.
        throw malformed(`a column is of kind 0x${kind.toString(16)}`);
    }
  }
  return values;
}
