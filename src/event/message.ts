// What `pg_logical_emit_message` wrote in a transaction: bytes with a prefix, and how they stand in an event.
import { isUtf8 } from "node:buffer";
import type { MessageEvent } from "./change-event.ts";

/** A message as Postgres sent it. */
export interface EmittedMessage {
  readonly operation: "message";
  readonly prefix: string;
  readonly content: Buffer;
}

/** As it stands in an event's `after`: the text itself where the bytes are UTF-8, else base64. */
export function encodeContent({ prefix, content }: EmittedMessage): MessageEvent["after"] {
  return isUtf8(content)
    ? { prefix, content: content.toString("utf8"), encoding: "utf8" }
    : { prefix, content: content.toString("base64"), encoding: "base64" };
}

/** The bytes that were given to `pg_logical_emit_message`; of a text those of the database's encoding. */
export function messageBytes({ after }: Pick<MessageEvent, "after">): Uint8Array {
  return Buffer.from(after.content, after.encoding);
}
