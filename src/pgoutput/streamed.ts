// The messages that protocol version 2 adds: pieces of transactions that are still open, each row under the id of the
// (sub)transaction that wrote it. Pure; what a piece holds is turned back into messages of version 1.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (Stream Start and following)
import { type Lsn, toLsn } from "../event/lsn.ts";
import { ByteReader, malformed } from "./byte-reader.ts";

/** From here to Stream Stop everything belongs to this transaction. */
export interface StreamStart {
  readonly kind: "stream-start";
  readonly xid: number;
  /** The transaction's first piece. */
  readonly first: boolean;
}

export interface StreamStop {
  readonly kind: "stream-stop";
}

export interface StreamCommit {
  readonly kind: "stream-commit";
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTime: bigint;
}

export interface StreamAbort {
  readonly kind: "stream-abort";
  readonly xid: number;
  /** The subtransaction that was rolled back; the same as `xid` for the whole. */
  readonly subxid: number;
}

export type StreamControl = StreamStart | StreamStop | StreamCommit | StreamAbort;

const BYTE = { start: 0x53, stop: 0x45, commit: 0x63, abort: 0x41, origin: 0x4f } as const;

/** Null for every message that is not one of these. Throws PGOUTPUT_MALFORMED. */
export function decodeStreamControl(bytes: Buffer): StreamControl | null {
  const kind = bytes[0];
  if (kind !== BYTE.start && kind !== BYTE.stop && kind !== BYTE.commit && kind !== BYTE.abort) {
    return null;
  }
  const reader = new ByteReader(bytes);
  reader.uint8();
  const control = readControl(reader, kind);
  reader.end();
  return control;
}

function readControl(reader: ByteReader, kind: number): StreamControl {
  switch (kind) {
    case BYTE.start:
      return { kind: "stream-start", xid: reader.uint32(), first: reader.uint8() === 1 };
    case BYTE.stop:
      return { kind: "stream-stop" };
    case BYTE.abort:
      return { kind: "stream-abort", xid: reader.uint32(), subxid: reader.uint32() };
    default: {
      const xid = reader.uint32();
      reader.uint8(); // flags, unused by the protocol
      return {
        kind: "stream-commit",
        xid,
        commitLsn: toLsn(reader.uint64()),
        endLsn: toLsn(reader.uint64()),
        commitTime: reader.int64(),
      };
    }
  }
}

/** A message inside a piece. */
export interface StreamedMessage {
  /** Of the (sub)transaction; null for an Origin, which is the whole transaction's. */
  readonly xid: number | null;
  /** The first byte of the message of version 1, and the rest of it: a view of the bytes given. */
  readonly type: number;
  readonly body: Buffer;
}

/** Throws PGOUTPUT_MALFORMED. */
export function splitStreamed(bytes: Buffer): StreamedMessage {
  const reader = new ByteReader(bytes);
  const type = reader.uint8();
  const xid = type === BYTE.origin ? null : reader.uint32();
  if (xid === 0) {
    throw malformed("a message of a streamed transaction names none");
  }
  return { xid, type, body: bytes.subarray(bytes.length - reader.remaining) };
}

/** The Begin of version 1 that a transaction would have had. */
export function beginBytes({ xid, commitLsn, commitTime }: StreamCommit): Buffer {
  const bytes = Buffer.alloc(21);
  bytes.write("B", "latin1");
  bytes.writeBigUInt64BE(commitLsn, 1);
  bytes.writeBigInt64BE(commitTime, 9);
  bytes.writeUInt32BE(xid, 17);
  return bytes;
}

/** The Commit of version 1 that it would have had. */
export function commitBytes({ commitLsn, endLsn, commitTime }: StreamCommit): Buffer {
  const bytes = Buffer.alloc(26);
  bytes.write("C", "latin1");
  bytes.writeBigUInt64BE(commitLsn, 2);
  bytes.writeBigUInt64BE(endLsn, 10);
  bytes.writeBigInt64BE(commitTime, 18);
  return bytes;
}
