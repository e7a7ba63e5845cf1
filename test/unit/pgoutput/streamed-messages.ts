// Writes the messages of protocol version 2 as Postgres would, for tests that need a stream made to measure.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
import type { PgoutputMessage } from "../../../src/pgoutput/messages.ts";
import type { StreamControl } from "../../../src/pgoutput/streamed.ts";
import { encodeMessage } from "./messages.ts";

export function encodeControl(control: StreamControl): Buffer {
  switch (control.kind) {
    case "stream-start":
      return bytes("S", uint32(control.xid), Buffer.from([control.first ? 1 : 0]));
    case "stream-stop":
      return bytes("E");
    case "stream-abort":
      return bytes("A", uint32(control.xid), uint32(control.subxid));
    case "stream-commit":
      return bytes(
        "c",
        uint32(control.xid),
        Buffer.from([0]),
        uint64(control.commitLsn),
        uint64(control.endLsn),
        uint64(control.commitTime),
      );
    default:
      throw control satisfies never;
  }
}

/** A message inside a piece: the xid of the (sub)transaction follows the first byte, except in an Origin. */
export function encodeStreamed(xid: number, message: PgoutputMessage): Buffer {
  const plain = encodeMessage(message);
  return message.kind === "origin" ? plain : Buffer.concat([plain.subarray(0, 1), uint32(xid), plain.subarray(1)]);
}

const bytes = (kind: string, ...rest: Buffer[]) => Buffer.concat([Buffer.from(kind, "latin1"), ...rest]);

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function uint64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt.asUintN(64, value));
  return buffer;
}
