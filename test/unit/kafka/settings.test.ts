// Broker addresses as users write them.
import { expect, test } from "vitest";
import { formatBrokerAddress, parseBrokerAddress } from "../../../src/kafka/settings.ts";

test.each([
  ["localhost:9092", "localhost", 9092],
  ["kafka", "kafka", 9092],
  [" kafka-1.example.org:19092 ", "kafka-1.example.org", 19092],
  ["10.0.0.1:1", "10.0.0.1", 1],
  ["[::1]:9093", "::1", 9093],
  ["[fe80::1]", "fe80::1", 9092],
])("%s", (text, host, port) => {
  expect(parseBrokerAddress(text)).toEqual({ host, port });
  expect(parseBrokerAddress(formatBrokerAddress({ host, port }))).toEqual({ host, port });
});

test.each(["", ":9092", "kafka:0", "kafka:70000", "kafka:abc", "http://kafka:9092", "::1:9092", "a b:1"])(
  "%s is refused",
  (text) => {
    expect(() => parseBrokerAddress(text)).toThrowError(expect.objectContaining({ code: "KAFKA_ADDRESS_INVALID" }));
  },
);
