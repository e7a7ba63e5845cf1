// `npm run simulate`: runs seeds one after the other, or one of them again with everything that happened.
import { parseArgs } from "node:util";
import { runSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    /** Ends with the first seed that breaks something. */
    "stop-at-first": { type: "boolean", default: false },
  },
});

async function replay(seed: number): Promise<boolean> {
  const { trace, violation } = await simulate(seed, true);
  console.log(`${trace.join("\n")}\nseed ${seed}: ${violation ?? "everything held"}`);
  return violation === null;
}

async function run(from: number, count: number): Promise<boolean> {
  const started = performance.now();
  const totals = await runSeeds(from, count, (line) => {
    console.log(line);
    return !values["stop-at-first"];
  });
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`faults: ${[...totals.faults].map(([kind, times]) => `${kind} ${times}`).join(", ")}`);
  console.log(`failpoints reached: ${[...totals.failpoints].sort().join(" ")}`);
  console.log(
    `seeds ${totals.seeds}, events ${totals.events}, Kafka transactions ${totals.commits}, steps ${totals.steps}, ${seconds} s, broken ${totals.broken.length}`,
  );
  return totals.broken.length === 0;
}

const held = await (values.seed === undefined
  ? run(Number(values.from), Number(values.seeds))
  : replay(Number(values.seed)));
process.exitCode = held ? 0 : 1;
