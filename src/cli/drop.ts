// `afterimage drop STREAM`: shows what would be removed, asks, and removes it.
import { createInterface } from "node:readline/promises";
import { type Config, type ConfigSources, loadConfigPart } from "../config/config.ts";
import { formatBytes } from "../config/units.ts";
import { type Drop, type DropPlan, openDrop } from "../daemon/drop.ts";
import { AfterimageError, printable } from "../errors.ts";
import { type Flags, sourcesOf } from "./options.ts";

export async function drop(stream: string, flags: Flags): Promise<void> {
  const given = sourcesOf(flags);
  // The stream named here wins over the file's, also for the default names of slot and publication.
  const sources = { ...given, flags: { ...given.flags, stream } };
  const { postgres } = loadConfigPart(sources, ["stream", "postgres"]);
  refuseForeignNames(stream, given, postgres);
  const topics = flags.topics === true ? loadConfigPart(sources, ["kafka", "topics"]) : null;
  const found = await openDrop({ stream, postgres, topics, foreignServer: flags.foreignServer === true });
  try {
    await confirmAndRun(stream, found, flags);
  } finally {
    await found.close();
  }
}

/** Slot and publication named for one stream must not be taken for another's. */
function refuseForeignNames(stream: string, given: ConfigSources, { slot, publication }: Config["postgres"]): void {
  if (slot === `afterimage_${stream}` && publication === slot) return;
  const { stream: configured } = loadConfigPart(given, ["stream"]);
  if (configured === stream) return;
  throw new AfterimageError(
    "USAGE",
    `The configuration names slot ${slot} and publication ${publication} for stream ${configured}, not for ${stream}.`,
    `Use the configuration of stream ${stream} (--config).`,
  );
}

async function confirmAndRun(stream: string, found: Drop, flags: Flags): Promise<void> {
  process.stdout.write(describePlan(stream, found.plan, flags.topics === true));
  const { slot, publication, topics } = found.plan;
  const nothing = slot === null && publication === null && topics.length === 0;
  if (!nothing && flags.yes !== true) await confirm(stream);
  await found.run((line) => process.stdout.write(`${printable(line)}\n`));
  if (!nothing && flags.topics !== true) {
    process.stdout.write(
      `Its topics stay. While they do, the next start of ${stream} halts with SLOT_LOST; afterimage drop ${stream} --topics deletes them.\n`,
    );
  }
}

export function describePlan(stream: string, plan: DropPlan, withTopics: boolean): string {
  const lines = [
    plan.slot === null
      ? "no replication slot (already gone)"
      : `replication slot ${plan.slot.name}, which keeps ${formatBytes(plan.slot.retainedBytes)} of WAL on the server`,
    plan.publication === null
      ? plan.foreignPublication === null
        ? "no publication (already gone)"
        : `not publication ${plan.foreignPublication}: afterimage did not make it, it stays`
      : `publication ${plan.publication}`,
    ...(withTopics && plan.topics.length === 0 ? ["no topics (already gone)"] : []),
    ...plan.topics.map((topic) => `topic ${topic} with all its events`),
  ];
  return `To remove of stream ${stream}:\n${lines.map((line) => `  ${printable(line)}\n`).join("")}`;
}

async function confirm(stream: string): Promise<void> {
  if (process.stdin.isTTY === true) {
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
      const answer = await terminal.question(`This can't be undone. Type the stream's name (${stream}) to go on: `);
      if (answer.trim() === stream) return;
    } finally {
      terminal.close();
    }
  }
  throw new AfterimageError(
    "DROP_NOT_CONFIRMED",
    "Nothing was removed.",
    `To remove it without a question: afterimage drop ${stream} --yes.`,
  );
}
