// Runs seeds in a process of their own: beside others on the next core, or with a mutant of the product.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** All that it says. */
export async function runSeedsApart(arguments_: readonly string[], mutant?: string): Promise<string> {
  const preload = mutant === undefined ? [] : ["--import", path("mutants/preload.ts")];
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", ...preload, path("main.ts"), ...arguments_],
    { env: { ...process.env, SIMULATION_MUTANT: mutant ?? "" }, stdio: ["ignore", "pipe", "pipe"] },
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
