// Writes pgoutput messages as Postgres would, protocol version 1, for tests that need a stream made to measure.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
import { UNCHANGED } from "../../../src/event/column-value.ts";
import type { OldTuple, PgoutputMessage, Tuple } from "../../../src/pgoutput/messages.ts";

const byte = (value: number) => Buffer.from([value]);
const letter = (text: string) => Buffer.from(text, "latin1");
const text = (value: string) => Buffer.from(`${value}\0`);

function number(bytes: 2 | 4, value: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value < 0 ? value + 2 ** (8 * bytes) : value, 0, bytes);
  return buffer;
}

function long(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt.asUintN(64, value));
  return buffer;
}

function tuple(values: Tuple): Buffer {
  const columns = values.map((value) => {
    if (value === null) return letter("n");
    if (value === UNCHANGED) return letter("u");
    const bytes = Buffer.from(value);
    return Buffer.concat([letter("t"), number(4, bytes.length), bytes]);
  });
  return Buffer.concat([number(2, values.length), ...columns]);
}

const oldTuple = (old: OldTuple) => [letter(old.form === "key" ? "K" : "O"), tuple(old.values)];

export function encodeMessage(message: PgoutputMessage): Buffer {
  return Buffer.concat(parts(message));
}

function parts(message: PgoutputMessage): Buffer[] {
  switch (message.kind) {
    case "begin":
      return [letter("B"), long(message.commitLsn), long(message.commitTime), number(4, message.xid)];
    case "commit":
      return [letter("C"), byte(0), long(message.commitLsn), long(message.endLsn), long(message.commitTime)];
    case "origin":
      return [letter("O"), long(message.commitLsn), text(message.name)];
    case "relation":
      return [
        letter("R"),
        number(4, message.oid),
        text(message.schema),
        text(message.table),
        letter(message.identity),
        number(2, message.columns.length),
        ...message.columns.flatMap((column) => [
          byte(column.identity ? 1 : 0),
          text(column.name),
          number(4, column.typeOid),
          number(4, column.typmod),
        ]),
      ];
    case "type":
      return [letter("Y"), number(4, message.oid), text(message.schema), text(message.name)];
    case "insert":
      return [letter("I"), number(4, message.relation), letter("N"), tuple(message.new)];
    case "update":
      return [
        letter("U"),
        number(4, message.relation),
        ...(message.old === null ? [] : oldTuple(message.old)),
        letter("N"),
        tuple(message.new),
      ];
    case "delete":
      return [letter("D"), number(4, message.relation), ...oldTuple(message.old)];
    case "truncate":
      return [
        letter("T"),
        number(4, message.relations.length),
        byte((message.cascade ? 1 : 0) | (message.restartIdentity ? 2 : 0)),
        ...message.relations.map((oid) => number(4, oid)),
      ];
    case "message":
      return [
        letter("M"),
        byte(message.transactional ? 1 : 0),
        long(1n),
        text(message.prefix),
        number(4, message.content.length),
        message.content,
      ];
    default:
      throw message satisfies never;
  }
}
