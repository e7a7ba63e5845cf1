// `npm run torture` and `npm run test:fault`: plays histories and ends with one line that says whether all held.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { PostgresVersion } from "../../dev/servers/postgres-versions.ts";
import { startServers } from "../../dev/servers/servers.ts";
import { messageOf } from "../../src/errors.ts";
import { toJson } from "./keep.ts";
import { type HistoryPlan, planRun } from "./plan.ts";
import { seeded } from "./random.ts";
import { type HistoryReport, holds, lastLine, summarise, summaryOf } from "./report.ts";
import { runHistory } from "./run.ts";
import { SHORT_RUN } from "./short-run.ts";
import { holdsSnapshots, killSnapshots, snapshotLine } from "./snapshot-kills.ts";

const HELP = `Usage: npm run torture -- [options]

  --rounds N        faults to survive (20)
  --seed S          what all is drawn from; a new one by default, which is printed
  --postgres V      15, 16, 17 or 18; else the histories take turns
  --nodes N         1 or 3 Kafka nodes; else every third history has three
  --faults A,B      only these faults
  --per-history N   rounds on one database and stream (20)
  --short           the short mixed run of CI
  --snapshot        instead of histories: SIGKILL at random moments of snapshots under writes. With --kills N (50),
                    --rows N (400000) and --writes N a second (5000)
  --replay FILE     the plan.json that a failed history left, once more
  --report FILE     where the JSON report goes (torture-report/report.json); beside it summary.jsonl, which has one line
                    for each history`;

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "20" },
      seed: { type: "string", default: String(Date.now()) },
      postgres: { type: "string" },
      nodes: { type: "string" },
      faults: { type: "string" },
      "per-history": { type: "string", default: "20" },
      short: { type: "boolean", default: false },
      snapshot: { type: "boolean", default: false },
      kills: { type: "string", default: "50" },
      rows: { type: "string", default: "400000" },
      writes: { type: "string", default: "5000" },
      replay: { type: "string" },
      report: { type: "string", default: "torture-report/report.json" },
      help: { type: "boolean", default: false },
    },
  });
  return values;
}

function oneOf<T extends number>(name: string, given: string | undefined, allowed: readonly T[]): T | undefined {
  if (given === undefined) return undefined;
  const found = allowed.find((value) => String(value) === given);
  if (found === undefined) throw new Error(`--${name} is one of ${allowed.join(", ")}.`);
  return found;
}

function count(name: string, given: string): number {
  const number = Number(given);
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} is a whole number above 0.`);
  return number;
}

function plansOf(values: ReturnType<typeof options>): HistoryPlan[] {
  if (values.replay !== undefined) return [JSON.parse(readFileSync(values.replay, "utf8"))];
  if (values.short) return planRun({ ...SHORT_RUN, seed: values.seed });
  const postgres = oneOf<PostgresVersion>("postgres", values.postgres, [15, 16, 17, 18]);
  const nodes = oneOf<1 | 3>("nodes", values.nodes, [1, 3]);
  return planRun({
    seed: values.seed,
    rounds: count("rounds", values.rounds),
    roundsPerHistory: count("per-history", values["per-history"]),
    ...(postgres === undefined ? {} : { postgres }),
    ...(nodes === undefined ? {} : { nodes }),
    ...(values.faults === undefined ? {} : { faults: values.faults.split(",") }),
  });
}

async function snapshots(values: ReturnType<typeof options>): Promise<number> {
  const servers = await startServers({ log: (line) => console.log(line) });
  try {
    const report = await killSnapshots({
      ...servers,
      rows: count("rows", values.rows),
      writesPerSecond: count("writes", values.writes),
      kills: count("kills", values.kills),
      longestMs: 2_000,
      batchBytes: 1024 * 1024,
      random: seeded(values.seed),
      log: (line) => console.log(line),
    });
    console.log(`seed ${values.seed}`);
    console.log(snapshotLine(report));
    return holdsSnapshots(report) ? 0 : 1;
  } finally {
    await servers.stop();
  }
}

async function main(): Promise<number> {
  const values = options();
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (values.snapshot) return snapshots(values);
  const plans = plansOf(values);
  const file = resolve(values.report);
  mkdirSync(dirname(file), { recursive: true });
  const histories: HistoryReport[] = [];
  for (const plan of plans) {
    const { postgres, nodes, partitions, rounds } = plan;
    console.log(
      `history ${plan.seed}: PostgreSQL ${postgres}, ${nodes} Kafka node(s), ${partitions} partition(s), ${rounds.length} rounds`,
    );
    const { report, kept } = await runHistory(plan, dirname(file), (line) => console.log(line));
    histories.push(report);
    console.log(`  ${lastLine(summarise(values.seed, [report]))}`);
    for (const { invariant, what } of report.verdict?.violations ?? [])
      console.log(`  invariant ${invariant}: ${what}`);
    for (const failure of report.failures) console.log(`  failed: ${failure}`);
    if (kept !== null) console.log(`  kept in ${kept}; again: npm run torture -- --replay ${kept}/plan.json`);
    // After each history: a run that is broken off leaves what it has.
    writeFileSync(file, toJson(summarise(values.seed, histories)));
    writeFileSync(
      join(dirname(file), "summary.jsonl"),
      histories.map((one) => `${toJson(summaryOf(one), 0)}\n`).join(""),
    );
  }
  const run = summarise(values.seed, histories);
  console.log(`seed ${values.seed}, report ${file}`);
  console.log(lastLine(run));
  return holds(run) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
