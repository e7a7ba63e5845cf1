// Which limits of a broker the daemon can't live with.
import { expect, test } from "vitest";
import { judgeBroker } from "../../../src/daemon/preflight-brokers.ts";

const MIB = 1024 ** 2;

/** `[severity, code]` of what is found at a broker with these settings, and of batches of a MiB. */
function found(settings: Record<string, number>, batchBytes = MIB) {
  const texts = new Map(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  return judgeBroker(1, texts, batchBytes).map(({ severity, code }) => [severity, code]);
}

test("Kafka's defaults are wide enough, and settings that a broker does not tell are no finding", () => {
  const defaults = { "transaction.max.timeout.ms": 900_000, "socket.request.max.bytes": 100 * MIB };
  expect(found(defaults)).toEqual([]);
  expect(found(defaults, 256 * MIB)).toEqual([]);
  expect(found({})).toEqual([]);
});

test("transactions that are too short", () => {
  expect(found({ "transaction.max.timeout.ms": 60_000 })).toEqual([]);
  expect(found({ "transaction.max.timeout.ms": 59_999 })).toEqual([["error", "KAFKA_TRANSACTION_TIMEOUT_REFUSED"]]);
});

test.each([
  [MIB, MIB, "error"],
  [MIB + 65_536, MIB, "warning"],
  [4 * MIB, 8 * MIB, "error"],
  [8_065_535, 256 * MIB, "error"],
  [8_065_536, 256 * MIB, "warning"],
])("requests of %i bytes, batches of %i: %s", (bytes, batch, severity) => {
  expect(found({ "socket.request.max.bytes": bytes }, batch)).toEqual([[severity, "KAFKA_REQUEST_LIMIT"]]);
});
