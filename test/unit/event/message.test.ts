// The content of a message is bytes: whatever they are, they come back the same.
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeMessage, parseEnvelope } from "../../../src/event/envelope.ts";
import { messageBytes } from "../../../src/event/message.ts";
import { lsn } from "./tables.ts";

const transaction = { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" };
const place = { sequence: 5, index: 2, last: true };

function through(prefix: string, content: Buffer) {
  const event = parseEnvelope(encodeMessage({ operation: "message", prefix, content }, transaction, place));
  return event.operation === "message" ? event : null;
}

test("any bytes, and any text", () => {
  const bytes = fc.oneof(
    fc.uint8Array().map((array) => Buffer.from(array)),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), bytes, (prefix, content) => {
      const event = through(prefix, content)!;
      expect(event.after.prefix).toBe(prefix);
      expect(Buffer.from(messageBytes(event)).equals(content)).toBe(true);
    }),
  );
});

test.each([
  ["", "utf8"],
  ["00", "utf8"],
  ["efbbbf41", "utf8"],
  ["ff", "base64"],
  ["eda080", "base64"],
  ["c0af", "base64"],
])("%s is %s", (hex, encoding) => {
  const event = through("p", Buffer.from(hex, "hex"))!;
  expect(event).toMatchObject({ table: null, schema: null, key: null, sequence: 5, after: { encoding } });
  expect(Buffer.from(messageBytes(event)).toString("hex")).toBe(hex);
});
