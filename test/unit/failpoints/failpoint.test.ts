// Failpoints by themselves: off without the preloaded module, which is no part of the package; what it does, counts
// and refuses.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { FAILPOINTS } from "../../../src/failpoint.ts";
import { spawnCli } from "../../support/daemon.ts";
import { armed, counted, readCounts } from "../../support/failpoints/armed.ts";
import { waitFor } from "../../support/wait-for.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MODULE = new URL("../../../src/failpoint.ts", import.meta.url).href;

/** Passes `pipeline.row` five times, says how often it has, and ends. */
const PROGRAM = `
  import { writeSync } from "node:fs";
  import { failpoint } from ${JSON.stringify(MODULE)};
  for (let passed = 1; passed <= 5; passed++) {
    failpoint("pipeline.row");
    writeSync(1, String(passed));
  }`;

function countsFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-failpoints-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "counts");
}

function runProgram(env: Record<string, string>) {
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return { stdout, stderr, status, signal };
}

test("the environment alone switches nothing on", () => {
  const file = countsFile();
  const { NODE_OPTIONS: _, ...variables } = armed("pipeline.row", 1, "kill", file);
  expect(runProgram(variables)).toMatchObject({ stdout: "12345", status: 0, stderr: "" });
  expect(readCounts(file).get("pipeline.row")).toBe(0);
});

test("killed at the nth time, with nothing done after it; the count outlives the kill", () => {
  const file = countsFile();
  expect(runProgram(armed("pipeline.row", 3, "kill", file))).toMatchObject({ stdout: "12", signal: "SIGKILL" });
  expect(readCounts(file).get("pipeline.row")).toBe(3);
});

test("counts of several processes add up; what is armed and not reached does nothing", () => {
  const file = countsFile();
  expect(runProgram(armed("pipeline.row", 6, "kill", file))).toMatchObject({ stdout: "12345", status: 0 });
  expect(runProgram(counted(file))).toMatchObject({ stdout: "12345", status: 0 });
  expect(readCounts(file).get("pipeline.row")).toBe(10);
  expect(readCounts(file).get("pipeline.begin")).toBe(0);
});

test("several orders: of those, the one that is reached first", () => {
  const file = countsFile();
  const env = {
    ...counted(file),
    AFTERIMAGE_FAILPOINT: "pipeline.begin:1:kill,pipeline.row:4:kill,pipeline.row:2:kill",
  };
  expect(runProgram(env)).toMatchObject({ stdout: "1", signal: "SIGKILL" });
});

test.each([
  ["pipeline.raw:1:kill", 'there is no failpoint "pipeline.raw"'],
  ["pipeline.row:1:kill,:1:kill", 'there is no failpoint ""'],
  ["pipeline.row", '"pipeline.row" is not name:nth:action'],
  ["pipeline.row:0:kill", "is not name:nth:action"],
  ["pipeline.row:1:explode", "is not name:nth:action"],
  ["pipeline.row:1:kill:now", "is not name:nth:action"],
])("%s is refused before the program begins", (order, reason) => {
  const { stdout, stderr, status } = runProgram({ ...counted(countsFile()), AFTERIMAGE_FAILPOINT: order });
  expect(stdout).toBe("");
  expect(stderr).toContain(reason);
  expect(status).not.toBe(0);
});

test("the command line loads it by its environment: bin/afterimage.js stops at an order it does not know", async () => {
  const refused = spawnCli(["--version"], { ...counted(countsFile()), AFTERIMAGE_FAILPOINT: "nothing:1:kill" });
  expect((await refused.exited()).code).not.toBe(0);
  expect(refused.stderr()).toContain("there is no failpoint");
  const told = spawnCli(["--version"], { AFTERIMAGE_FAILPOINT: "nothing:1:kill" });
  expect((await told.exited()).code).toBe(0);
});

test("stopped until SIGCONT", async () => {
  const file = countsFile();
  const output = openSync(`${file}-output`, "a");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
    env: { ...process.env, ...armed("pipeline.row", 2, "stop", file) },
    stdio: ["ignore", output, "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
    closeSync(output);
  });
  await waitFor(() => readCounts(file).get("pipeline.row") === 2, { what: "the failpoint" });
  // Time for another process to begin and to end.
  expect(runProgram({}).stdout).toBe("12345");
  expect(readFileSync(`${file}-output`, "utf8")).toBe("1");
  const goesOn = () => {
    child.kill("SIGCONT");
    return child.exitCode === 0;
  };
  await waitFor(goesOn, { what: "its end" });
  expect(readFileSync(`${file}-output`, "utf8")).toBe("12345");
});

test("the package holds the hook and no module that sets it", () => {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT, encoding: "utf8" }),
  );
  const paths: string[] = packed.files.map(({ path }: { path: string }) => path);
  expect(paths).toContain("bin/afterimage.js");
  expect(paths.filter((path) => /preload|^test\/|failpoints\//.test(path))).toEqual([]);
  // `dist` is built from these alone.
  const built = execFileSync(process.execPath, [tsc(), "-p", "tsconfig.build.json", "--listFilesOnly"], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .split("\n")
    .filter((path) => path.startsWith(ROOT) && !path.includes("/node_modules/"))
    .map((path) => path.slice(ROOT.length));
  expect(built).toContain("src/failpoint.ts");
  expect(built.filter((path) => !path.startsWith("src/"))).toEqual([]);
  expect(sources().filter(({ text }) => text.includes('Symbol.for("afterimage.failpoint")'))).toHaveLength(1);
});

test("every name is `module.step`, once in the list, and is passed somewhere in src", () => {
  expect(new Set(FAILPOINTS).size).toBe(FAILPOINTS.length);
  const called = sources().flatMap(({ text }) =>
    [...text.matchAll(/\bfailpoint\("([^"]+)"\)/g)].map(([, name]) => name),
  );
  for (const name of FAILPOINTS) {
    expect(name).toMatch(/^[a-z-]+\.[a-z-]+$/);
  }
  expect(new Set(called)).toEqual(new Set(FAILPOINTS));
});

function sources(): { path: string; text: string }[] {
  return readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => ({ path, text: readFileSync(join(ROOT, "src", path), "utf8") }));
}

const tsc = () => join(ROOT, "node_modules/typescript/bin/tsc");
