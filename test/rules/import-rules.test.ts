// The rules of the source tree hold for every file, and a file that breaks one is found.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { check, importsOf } from "./checker.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function filesOf(folder: string): string[] {
  return readdirSync(`${ROOT}/${folder}`, { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .filter((path) => /\.(ts|js)$/.test(path) && path !== "test/rules/import-rules.test.ts");
}

test("every file keeps the rules", () => {
  const paths = ["bin", "src", "dev", "test", "bench"].flatMap(filesOf);
  expect(paths.length).toBeGreaterThan(20);
  const problems = paths.flatMap((path) =>
    check(path, readFileSync(`${ROOT}/${path}`, "utf8")).map((problem) => `${path} ${problem}`),
  );
  expect(problems).toEqual([]);
});

const OPENING = "// What it is for.\n";

test.each([
  ["src/sdk/consumer.ts", 'import { run } from "../daemon/daemon.ts";', "imports src/daemon/daemon.ts"],
  ["src/event/lsn.ts", 'import {\n  a,\n  b,\n} from "../pgoutput/decoder.ts";', "imports src/pgoutput/decoder.ts"],
  ["src/event/lsn.ts", 'import "../kafka/connection.ts";', "imports src/kafka/connection.ts"],
  ["src/event/lsn.ts", 'const x = await import("../kafka/connection.ts");', "imports src/kafka/connection.ts"],
  ["src/errors.ts", 'import { a } from "./event/lsn.ts";', "imports src/event/lsn.ts"],
  ["src/failpoint.ts", 'import { a } from "./event/lsn.ts";', "imports src/event/lsn.ts"],
  ["src/pipeline/pipeline.ts", 'import { S } from "../source/slot.ts";', "pipeline may import types of source"],
  ["src/kafka/a.ts", 'import { S } from "../../dev/servers/servers.ts";', "outside of src"],
  ["src/unknown/a.ts", 'import { S } from "../event/lsn.ts";', "the map of the source does not know"],
  ["src/sink/topics.ts", 'import { Kafka } from "kafkajs";', "imports kafkajs"],
  ["src/sink/topics.ts", 'import Broker from "kafkajs/src/broker/index.js";', "imports kafkajs"],
  ["src/daemon/daemon.ts", 'import type { A } from "pg-logical-replication";', "imports pg-logical-replication"],
  ["src/event/index.ts", 'export * from "./lsn.ts";', "is a barrel file"],
  ["src/event/a.ts", 'export type {\n  Lsn,\n} from "./lsn.ts";\nexport * from "./b.ts";', "is a barrel file"],
  ["src/daemon/a.ts", "try { f(); } catch (error) {}", "swallows an error"],
  ["src/daemon/a.ts", "if (process.env.VITEST) {}", "a switch for tests"],
  ["test/unit/a.test.ts", 'test.only("", () => {});', "switches a test off"],
  ["test/unit/a.test.ts", 'describe.skip("", () => {});', "switches a test off"],
])("%s with %j is found", (path, text, problem) => {
  expect(check(path, OPENING + text)).toEqual([expect.stringContaining(problem)]);
});

test("a file without its opening line, or with too many lines, is found", () => {
  expect(check("dev/a.ts", OPENING + "\n".repeat(300))).toEqual([expect.stringContaining("has 301 lines")]);
  expect(check("dev/a.ts", "export const a = 1;\n")).toEqual([expect.stringContaining("does not open with")]);
  expect(check("bin/a.js", "#!/usr/bin/env node\n// What it is for.\n")).toEqual([]);
});

test("what the rules allow is left alone", () => {
  const allowed: [path: string, text: string][] = [
    ["src/pipeline/pipeline.ts", 'import type { Source } from "../source/slot.ts";'],
    ["src/event/lsn.ts", 'import { AfterimageError } from "../errors.ts";\nimport { a } from "./position.ts";'],
    ["src/sdk/store/a.ts", 'import { failpoint } from "../../failpoint.ts";'],
    ["src/sdk/index.ts", 'export { createConsumer } from "./consumer.ts";'],
    ["src/config/config.ts", 'export { a } from "./a.ts";\nexport const b = 1;'],
    ["src/sdk/consumer/group.ts", 'import { Kafka } from "kafkajs";'],
    ["src/source/replication-stream.ts", 'import { A } from "pg-logical-replication";'],
    ["src/daemon/a.ts", 'export const text = `from "../cli/program.ts"`;\ncatch {\n  // gone already\n}'],
  ];
  for (const [path, text] of allowed) expect(check(path, OPENING + text)).toEqual([]);
});

test("imports are found in every form", () => {
  const text = 'import a, { type B } from "./a.ts";\nimport type { C } from "./c.ts";\nimport * as d from "./d.ts";\n';
  expect(importsOf(`${text}type E = typeof import("./e.ts");\n`)).toEqual([
    { from: "./a.ts", typeOnly: false },
    { from: "./c.ts", typeOnly: true },
    { from: "./d.ts", typeOnly: false },
    { from: "./e.ts", typeOnly: true },
  ]);
});
