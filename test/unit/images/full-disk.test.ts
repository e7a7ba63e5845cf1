// No more room for the images' file: the failure has a name, and what was stored before is whole.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { ImageFile } from "../../../src/images/image-file.ts";

test("a file that may not grow", () => {
  const folder = mkdtempSync(join(tmpdir(), "images-"));
  try {
    const path = join(folder, "a.images");
    const program = fileURLToPath(new URL("fill.ts", import.meta.url));
    // As a disk that is full: writes beyond 2 MB fail, without the signal that comes with the limit.
    const script = `trap '' XFSZ; ulimit -f 2000; exec "$0" "$@"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script, process.execPath, program, path], { encoding: "utf8" });
    const told = JSON.parse(stdout || `{"stderr":${JSON.stringify(stderr)}}`);
    expect(told).toMatchObject({ code: "IMAGES_FAILED", advice: expect.stringContaining("rebuilt from the topics") });
    expect(told.stored).toBeGreaterThan(0);
    const file = ImageFile.open(path, { stream: "shop", systemId: "7", database: 5, epoch: 1 }, told.stored);
    const table = file.table("public.t", "topic");
    expect(table.stored().sequence).toBe(told.stored);
    expect([told.stored, told.stored + 1].map((key) => table.get(String(key)) !== null)).toEqual([true, false]);
    file.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
