// Kafka's error numbers and what users get to see of them.
import { expect, test } from "vitest";
import { AmbiguousOutcome, notReady, refused } from "../../../src/kafka/errors.ts";
import {
  ErrorCode,
  isCoordinatorError,
  isLeaderError,
  isTransactionLost,
  nameOfError,
} from "../../../src/kafka/protocol/error-code.ts";

test.each([
  [29, "KAFKA_NOT_AUTHORIZED"],
  [30, "KAFKA_NOT_AUTHORIZED"],
  [31, "KAFKA_NOT_AUTHORIZED"],
  [53, "KAFKA_NOT_AUTHORIZED"],
  [3, "TOPIC_MISSING"],
  [1, "OFFSET_OUT_OF_RANGE"],
  [32, "KAFKA_TIMESTAMP_REFUSED"],
  [50, "KAFKA_TRANSACTION_TIMEOUT_REFUSED"],
  [87, "KAFKA_RECORD_REFUSED"],
  [44, "TOPIC_REFUSED"],
  [12345, "KAFKA_REFUSED"],
])("error %i is %s and names the resource", (code, name) => {
  const error = refused(code, "Produce", "topic shop.public.orders partition 3");
  expect(error.code).toBe(name);
  expect(error.message).toContain("topic shop.public.orders partition 3");
  expect(error.advice).not.toBe("");
});

test("every number has one meaning", () => {
  for (const code of Object.values(ErrorCode)) {
    const meanings = [isLeaderError, isCoordinatorError, isTransactionLost].filter((is) => is(code));
    expect(meanings.length, nameOfError(code)).toBeLessThanOrEqual(1);
  }
  expect([47, 48, 49, 59, 90].every(isTransactionLost)).toBe(true);
  expect([14, 15, 16].every(isCoordinatorError)).toBe(true);
  expect([3, 5, 6, 9, 56].every(isLeaderError)).toBe(true);
  expect(nameOfError(51)).toBe("CONCURRENT_TRANSACTIONS (51)");
  expect(nameOfError(999)).toBe("error 999");
});

test("an ambiguous outcome carries its cause", () => {
  const cause = notReady(15, "EndTxn", "transactional id x");
  expect(new AmbiguousOutcome("EndTxn", cause)).toMatchObject({ name: "AmbiguousOutcome", cause });
  expect(cause.code).toBe("KAFKA_NOT_READY");
});
