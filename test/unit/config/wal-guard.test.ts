// The sizes of the WAL guard: whoever sets one of them need not set the others, and an order that makes no sense is refused.
import { expect, test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";
import { AfterimageError } from "../../../src/errors.ts";

function load(sizes: Record<string, string>) {
  const env = {
    AFTERIMAGE_STREAM: "shop",
    AFTERIMAGE_POSTGRES_URL: "postgres://cdc@localhost:5432/shop",
    AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
    ...sizes,
  };
  return loadConfig({ env }).walGuard;
}

const [WARN, ALERT, GIVE_UP] = [
  "AFTERIMAGE_WAL_GUARD_WARN",
  "AFTERIMAGE_WAL_GUARD_ALERT",
  "AFTERIMAGE_WAL_GUARD_GIVE_UP",
] as const;

test.each([
  [{}, [10, 50, null]],
  [{ [WARN]: "60GiB" }, [60, 60, null]],
  [{ [ALERT]: "4GiB" }, [4, 4, null]],
  [{ [GIVE_UP]: "20GiB" }, [10, 20, 20]],
  [{ [GIVE_UP]: "5GiB" }, [5, 5, 5]],
  [{ [WARN]: "1GiB", [ALERT]: "2GiB", [GIVE_UP]: "3GiB" }, [1, 2, 3]],
])("%j: the others follow", (sizes, expected) => {
  const [warn, alert, giveUp] = expected.map((gibibytes) => (gibibytes === null ? null : gibibytes * 1024 ** 3));
  expect(load(sizes)).toEqual({ warn, alert, giveUp });
});

test.each([
  [{ [WARN]: "2GiB", [ALERT]: "1GiB" }, "walGuard.alert"],
  [{ [ALERT]: "2GiB", [GIVE_UP]: "1GiB" }, "walGuard.giveUp"],
  [{ [WARN]: "2GiB", [GIVE_UP]: "1GiB" }, "walGuard.giveUp"],
])("%j makes no sense", (sizes, path) => {
  expect(() => load(sizes)).toThrow(AfterimageError);
  expect(() => load(sizes)).toThrow(path);
});
