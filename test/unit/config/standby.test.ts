// `postgres.standbyUrl`: one password file for both servers, and what it can't go together with.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig, rereadPasswords } from "../../../src/config/config.ts";

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://cdc@primary/shop",
  AFTERIMAGE_POSTGRES_STANDBY_URL: "postgres://cdc@standby/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};

test("the password's file is read for both addresses, and read again", () => {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-standby-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "password");
  writeFileSync(file, "first\n");
  const config = loadConfig({ env: { ...ENOUGH, AFTERIMAGE_POSTGRES_PASSWORD_FILE: file } });
  const both = (password: string) => ({
    url: `postgres://cdc:${password}@primary/shop`,
    standbyUrl: `postgres://cdc:${password}@standby/shop`,
  });
  expect(config.postgres).toMatchObject(both("first"));
  writeFileSync(file, "second");
  expect(rereadPasswords(config).postgres).toMatchObject(both("second"));
});

test("a slot that fails over is refused, and so is what is no address, unseen", () => {
  expect(() => loadConfig({ env: { ...ENOUGH, AFTERIMAGE_POSTGRES_FAILOVER: "true" } })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("postgres.failover") }),
  );
  const wrong = { ...ENOUGH, AFTERIMAGE_POSTGRES_STANDBY_URL: "http://cdc:s3cr3t@standby/shop" };
  expect(() => loadConfig({ env: wrong })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.not.stringContaining("s3cr3t") }),
  );
});
