// The pid file: claimed once, given way when stale.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { defaultPidFile, isAlive, readPidFile, writePidFile } from "../../../src/daemon/pid-file.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-pid-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The id of a process that has ended. */
const ended = () => spawnSync(process.execPath, ["-e", "0"]).pid;

test("written, read and removed", () => {
  const path = join(folder, "a.pid");
  const remove = writePidFile(path, "http://127.0.0.1:7788");
  expect(readFileSync(path, "utf8")).toBe(`${process.pid}\nhttp://127.0.0.1:7788\n`);
  expect(readPidFile(path)).toEqual({ pid: process.pid, address: "http://127.0.0.1:7788" });
  remove();
  expect(readPidFile(path)).toBeNull();
});

test("a living holder keeps it, a dead one gives way", () => {
  const path = join(folder, "b.pid");
  writeFileSync(path, `${process.ppid}\n`);
  expect(() => writePidFile(path, null)).toThrow(expect.objectContaining({ code: "ALREADY_RUNNING" }));
  writeFileSync(path, `${ended()}\n`);
  writePidFile(path, null)();
  expect(readPidFile(path)).toBeNull();
});

test("removing leaves a successor's file alone", () => {
  const path = join(folder, "c.pid");
  const remove = writePidFile(path, null);
  writeFileSync(path, `${process.ppid}\n`);
  remove();
  expect(readPidFile(path)?.pid).toBe(process.ppid);
});

test("nonsense and missing folders", () => {
  const path = join(folder, "d.pid");
  for (const text of ["", "x\n", "-1\n", "0\n", "12x\n"]) {
    writeFileSync(path, text);
    expect(readPidFile(path)).toBeNull();
  }
  expect(() => writePidFile(join(folder, "none", "x.pid"), null)).toThrow(
    expect.objectContaining({ code: "PID_FILE" }),
  );
});

test("who is alive", () => {
  expect(isAlive(process.pid)).toBe(true);
  expect(isAlive(ended())).toBe(false);
});

test("the default stands in the user's runtime folder", () => {
  expect(defaultPidFile("shop", { XDG_RUNTIME_DIR: "/run/user/1" })).toBe("/run/user/1/afterimage-shop.pid");
  expect(defaultPidFile("shop", {})).toBe(join(tmpdir(), "afterimage-shop.pid"));
});
