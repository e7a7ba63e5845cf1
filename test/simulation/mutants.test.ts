// The simulation can fail: each mutant of the product breaks something that it sees.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants/mutants.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** As many seeds as CI runs. */
const SEEDS = 2_000;

async function run(mutant: string, from: number): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "--import",
      path("mutants/preload.ts"),
      path("main.ts"),
      ...["--from", String(from), "--seeds", String(SEEDS), "--stop-at-first"],
    ],
    { env: { ...process.env, SIMULATION_MUTANT: mutant }, stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      said += chunk;
    });
  }
  await new Promise((resolve) => child.once("close", resolve));
  return said;
}

test.each(MUTANTS)("$name: seen", { timeout: 120_000 }, async ({ name, from, seen }) => {
  expect(await run(name, from)).toMatch(seen);
});
