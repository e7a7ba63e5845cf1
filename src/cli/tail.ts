// `afterimage tail`: every committed change of a database on the terminal, or as JSON lines.
import { once } from "node:events";
import { loadConfigPart } from "../config/config.ts";
import { runTail } from "../daemon/tail.ts";
import { printable } from "../errors.ts";
import { parseEnvelope } from "../event/envelope.ts";
import { EventFormatter } from "./event-format.ts";
import { type Flags, sourcesOf } from "./options.ts";

export async function tail(flags: Flags): Promise<void> {
  const { postgres, tables } = loadConfigPart(tailSources(flags), ["postgres", "tables"]);
  const publication = typeof flags.publication === "string" ? flags.publication : null;
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // `| head` closes the pipe when it has enough.
  process.stdout.on("error", onSignal);
  const note = (line: string) => void process.stderr.write(`${printable(line)}\n`);
  const formatter = new EventFormatter(process.stdout);
  const show =
    flags.json === true ? (json: string) => `${json}\n` : (json: string) => formatter.format(parseEnvelope(json));
  try {
    await runTail(
      { postgres, tables, publication },
      {
        events: (json) => write(json.map(show).join(""), stop.signal),
        note,
        ready: (count) => note(`Showing changes of ${count} table${count === 1 ? "" : "s"}; Ctrl-C ends it.`),
      },
      stop.signal,
    );
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

/** Without any wish about tables, those of all schemas are shown. */
function tailSources(flags: Flags): ReturnType<typeof sourcesOf> {
  const sources = sourcesOf(flags);
  const asked = sources.flags?.tables ?? sources.env.AFTERIMAGE_TABLES ?? sources.file;
  return asked === undefined || asked === "" ? { ...sources, flags: { ...sources.flags, tables: "*.*" } } : sources;
}

/** Waits until the terminal or pipe has taken it, so that a slow reader slows the reading of the WAL. */
async function write(text: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted || process.stdout.write(text)) return;
  await once(process.stdout, "drain", { signal }).catch((error: Error) => {
    if (error.name !== "AbortError" && (error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  });
}
