// The setting of images: a map from tables to `complete`, in a file and in a variable.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://cdc:s3cr3t@localhost:5432/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};

test("tables whose images are complete, in a file and in a variable", () => {
  const images = [
    { schema: "public", table: "orders" },
    { schema: "public", table: "a,b" },
  ];
  const file = join(folder, "images.yaml");
  writeFileSync(file, `images: { public.orders: complete, 'public."a,b"': complete }\nimagesFile: rows.db\n`);
  expect(loadConfig({ file, env: ENOUGH })).toMatchObject({ images, imagesFile: "rows.db" });
  const env = { ...ENOUGH, AFTERIMAGE_IMAGES: 'public.orders=complete,public."a,b"=complete' };
  expect(loadConfig({ env })).toMatchObject({ images });
});
