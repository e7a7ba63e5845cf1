// A process that was asked to end and does not is a failure with a name, and is ended all the same; what was sent is noted.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { spawnNode } from "../../support/daemon.ts";
import { stopProcess } from "../../torture/nemesis/steps.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-stop-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function started(name: string, onTerm: string) {
  const script = join(folder, name);
  writeFileSync(script, `process.on("SIGTERM", () => ${onTerm}); setInterval(() => {}, 1000); console.log("up");`);
  const spawned = spawnNode(script, []);
  await spawned.says("up");
  return spawned;
}

test("one that obeys gives how it ended", async () => {
  const spawned = await started("obeys.mjs", "process.exit(0)");
  expect(await stopProcess(spawned, "daemon")).toEqual({ code: 0, signal: null });
  expect(spawned.sent).toEqual(["SIGTERM"]);
});

test("one that hangs is named, and killed", async () => {
  const spawned = await started("hangs.mjs", "undefined");
  await expect(stopProcess(spawned, "daemon", { deadlineMs: 300 })).rejects.toThrow(
    "The daemon that was sent SIGTERM hangs: it was not over after 300 ms.",
  );
  expect(spawned.child.signalCode).toBe("SIGKILL");
  expect(spawned.sent).toEqual(["SIGTERM", "SIGKILL"]);
});
