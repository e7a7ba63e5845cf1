// How a process ended, what it had been sent by then, and in whose round, is noted when it ends and stays so.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Processes } from "../../torture/processes.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-processes-"));
afterAll(() => rmSync(folder, { recursive: true }));

const make = (tables: { table: string; columns: string[]; key: string[] }[]) =>
  new Processes({}, { brokers: ["127.0.0.1:1"], stream: "none", file: join(folder, "view.db"), tables }, folder);

test("one that fails by itself: with its code, in its round", async () => {
  const processes = make([{ table: "not a table's name", columns: ["id"], key: ["id"] }]);
  processes.during({ during: "kill-view", allowed: ["STORE_FAILED"] });
  await processes.startView().exited({ timeout: 30_000 });
  processes.during(null);
  const [exit] = processes.exits();
  expect(exit).toMatchObject({
    process: "view",
    signal: null,
    sent: [],
    during: "kill-view",
    allowed: ["STORE_FAILED"],
  });
  expect(exit!.code).not.toBe(0);
  expect(processes.wasKilled("view")).toBe(false);
}, 40_000);

test("one that is killed: by what it was sent before it ended, not later", async () => {
  const processes = make([]);
  const view = processes.startView();
  await view.kill();
  view.signal("SIGTERM");
  expect(processes.exits()).toMatchObject([{ code: null, signal: "SIGKILL", sent: ["SIGKILL"], during: null }]);
  expect(processes.wasKilled("view")).toBe(true);
});

test("one that kills itself at a failpoint was armed to", async () => {
  const processes = make([]);
  const view = processes.startView({ AFTERIMAGE_FAILPOINT: "store.committed:1:kill" });
  await view.kill("SIGTERM");
  expect(processes.exits()[0]!.sent).toContain("SIGKILL");
});
