// Evidence is written an item a line, so that no string has to hold all of it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { keep, linesOf } from "../../torture/keep.ts";
import { planRun } from "../../torture/plan.ts";
import { syntheticEvidence } from "./synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-keep-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a failed history leaves plan, report, outputs, files and evidence", async () => {
  const [plan] = planRun({ seed: "keep/1", rounds: 1 });
  const evidence = syntheticEvidence();
  writeFileSync(join(folder, "log"), "what a server wrote");
  const own = await keep(
    folder,
    {
      ...{ plan: plan!, evidence, outputs: new Map([["daemon-0.log", "said"]]) },
      files: new Map([
        ["postgres.log", join(folder, "log")],
        ["kafka-1.log", join(folder, "never made")],
      ]),
    },
    { verdict: null },
  );
  const read = (name: string) => readFileSync(join(own, name), "utf8");
  expect(JSON.parse(read("plan.json"))).toEqual(plan);
  expect(JSON.parse(read("report.json"))).toEqual({ verdict: null });
  expect([read("daemon-0.log"), read("postgres.log")]).toEqual(["said", "what a server wrote"]);
  const lines = gunzipSync(readFileSync(join(own, "evidence.jsonl.gz")))
    .toString()
    .trimEnd()
    .split("\n");
  const parts = Map.groupBy(
    lines.map((line): [string, unknown] => JSON.parse(line)),
    ([part]) => part,
  );
  expect(new Set(parts.keys())).toEqual(new Set(Object.keys(evidence)));
  expect(parts.get("records")).toHaveLength(evidence.records.length);
  expect(parts.get("audit")).toHaveLength(evidence.audit.length);
  expect(parts.get("records")![5]![1]).toEqual({ ...evidence.records[5], offset: String(evidence.records[5]!.offset) });
});

test("no line holds more than one item", () => {
  const evidence = syntheticEvidence();
  const most = Math.max(...[...linesOf(evidence)].map((line) => line.length));
  expect(most).toBeLessThan(100_000);
  expect([...linesOf(evidence)].length).toBeGreaterThan(evidence.records.length + evidence.audit.length);
});
