// An event that its topic does not take is named by its position, with what can be done about that kind of event.
import { expect, test } from "vitest";
import { RecordTooLarge } from "../../../src/kafka/errors.ts";
import { encodeEvent } from "../../../src/sink/encode-event.ts";
import { asPoison, PoisonEvent } from "../../../src/sink/poison.ts";
import { lsn } from "../event/tables.ts";

test("a message can't be skipped: no table that is read again makes up for it", () => {
  const message = encodeEvent({
    table: null,
    route: { topic: "s.messages", partitions: 4 },
    change: { operation: "message", prefix: "outbox", content: Buffer.from("secret") },
    transaction: { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" },
    sequence: 5,
    index: 2,
    last: true,
  });
  const error = asPoison(new RecordTooLarge({ topic: message.topic, partition: 1 }, 20_000_000, message), [message]);
  expect(error).not.toBeInstanceOf(PoisonEvent);
  expect(error).toMatchObject({
    code: "RECORD_TOO_LARGE",
    message: expect.stringMatching(/message at position 1:0\/7:2, with prefix "outbox"/),
    advice: expect.stringMatching(/max\.message\.bytes.*can.t be skipped.* messages\.prefixes/),
  });
  expect(`${error.message}${error.advice}`).not.toMatch(/secret|afterimage skip/);
});
