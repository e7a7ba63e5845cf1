// `npm run demo`: rows written to a real Postgres travel through the WAL and a real Kafka into a search page.
import { parseArgs } from "node:util";
import { AfterimageError, messageOf } from "../../src/errors.ts";
import { compare, runWithKills } from "./check.ts";
import { showLine } from "./live-line.ts";
import { buildStack, type Stack } from "./stack.ts";
import { TakeDown } from "./take-down.ts";
import { openShop, type Workload } from "./workload.ts";

const ROWS = 3000;
const TRANSACTIONS_PER_SECOND = 60;

const log = (line: string) => void process.stdout.write(`${line}\n`);

function explain(error: unknown): void {
  if (error instanceof AfterimageError) process.stderr.write(`${error.code}: ${error.message}\n  → ${error.advice}\n`);
  else process.stderr.write(`DEMO_FAILED: ${messageOf(error)}\n`);
}

async function begin(takeDown: TakeDown): Promise<{ stack: Stack; shop: Workload }> {
  const stack = await buildStack(takeDown, log);
  log("daemon: starting");
  await stack.startDaemon();
  log(`daemon: streaming; filling public.products with ${ROWS} rows`);
  const shop = await takeDown.made(
    () => openShop(stack.database.url),
    (opened) => opened.stop(),
  );
  await shop.fill(ROWS);
  await stack.startSample();
  return { stack, shop };
}

async function demo(takeDown: TakeDown): Promise<void> {
  const { stack, shop } = await begin(takeDown);
  log(`\n  search page: ${stack.page}\n  dashboard:   ${stack.admin}\n\n  Ctrl-C stops everything.\n`);
  const line = showLine(stack, shop, process.stdout);
  takeDown.add(async () => line.stop());
  await Promise.race([shop.run(TRANSACTIONS_PER_SECOND), stack.daemon.unexpectedEnd, stack.sample.unexpectedEnd]);
}

/** @returns whether all was equal */
async function check(takeDown: TakeDown): Promise<boolean> {
  const { stack, shop } = await begin(takeDown);
  try {
    await runWithKills(stack, shop, TRANSACTIONS_PER_SECOND, log);
    log(`${shop.rowsWritten()} rows written; waiting until all is quiet`);
    const verdict = await compare(stack);
    for (const line of verdict.lines) log(line);
    return verdict.equal;
  } catch (error) {
    for (const program of [stack.daemon, stack.sample]) {
      log(`the last lines of the ${program.name}:`);
      for (const line of await program.lastLines(10)) log(`  ${line}`);
    }
    throw error;
  }
}

/** Whether to check. Ends the process when anything else is asked for. */
function readFlags(): boolean {
  try {
    return parseArgs({ options: { check: { type: "boolean", default: false } } }).values.check;
  } catch {
    explain(new AfterimageError("USAGE", "The demo takes --check and nothing else.", "npm run demo -- --check"));
    return process.exit(2);
  }
}

/** Resolves with the signal that ends the demo. npm passes a Ctrl-C on that the terminal had sent already: once counts. */
function interrupted(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve(signal));
  });
}

process.stdout.on("error", () => undefined); // a terminal that was closed: the taking down goes on
const isCheck = readFlags();
const takeDown = new TakeDown();
const work = isCheck ? check(takeDown) : demo(takeDown).then(() => true);
work.catch(() => undefined); // what is interrupted may fail in any way
const outcome = await Promise.race([
  work.then((equal) => ({ code: equal ? 0 : 1 })).catch((error: unknown) => ({ code: 1, error })),
  interrupted().then((signal) => ({ code: isCheck || signal !== "SIGINT" ? 130 : 0, signal })),
]);
if ("signal" in outcome) log("\nstopping");
if ("error" in outcome) explain(outcome.error);
try {
  await takeDown.run();
} catch (error) {
  explain(error);
  outcome.code ||= 1;
}
process.exit(outcome.code);
