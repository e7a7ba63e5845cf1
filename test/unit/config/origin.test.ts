// `postgres.origin` and what it can't go together with.
import { expect, test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://cdc@localhost/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};

test("images of rows whose changes are left out are refused, others are not", () => {
  const images = { AFTERIMAGE_IMAGES: "public.orders=complete" };
  const none = { AFTERIMAGE_POSTGRES_ORIGIN: "none" };
  expect(() => loadConfig({ env: { ...ENOUGH, ...images, ...none } })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(/images.*postgres\.origin/) }),
  );
  expect(() => loadConfig({ env: { ...ENOUGH, AFTERIMAGE_POSTGRES_ORIGIN: "some" } })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
  expect(loadConfig({ env: { ...ENOUGH, ...none } }).postgres.origin).toBe("none");
  expect(loadConfig({ env: { ...ENOUGH, ...images } }).postgres.origin).toBe("any");
});
