// `streaming` and `spoolFolder` go together: a word that switches, and where open transactions are kept.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://localhost:5432/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};

test("streaming without a folder for what is open is refused", () => {
  expect(() => loadConfig({ env: { ...ENOUGH, AFTERIMAGE_STREAMING: "on" } })).toThrow(
    expect.objectContaining({ code: "CONFIG_MISSING", advice: expect.stringContaining("AFTERIMAGE_SPOOL_FOLDER") }),
  );
});

test("in YAML `on` is a word, and the folder alone switches nothing on", () => {
  const file = join(folder, "a.yaml");
  writeFileSync(file, "streaming: on\nspoolFolder: /var/spool/shop\n");
  expect(loadConfig({ file, env: ENOUGH }).spoolFolder).toBe("/var/spool/shop");
  const env = { ...ENOUGH, AFTERIMAGE_SPOOL_FOLDER: "/var/spool/shop" };
  expect(loadConfig({ env }).spoolFolder).toBeNull();
  expect(loadConfig({ file, env: { ...env, AFTERIMAGE_STREAMING: "off" } }).spoolFolder).toBeNull();
});
