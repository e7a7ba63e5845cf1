// `afterimage skip POSITION… --reason TEXT`: the deliberate way past an event at which the stream halts.
import { loadConfig } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { parsePosition } from "../event/position.ts";
import { type Flags, sourcesOf } from "./options.ts";

const LONGEST_REASON = 1_000;

export async function skip(texts: readonly string[], flags: Flags): Promise<void> {
  const config = loadConfig(sourcesOf(flags));
  const positions = texts.map((text) => parsePosition(text) ?? refuse(`${JSON.stringify(text)} is no position.`));
  const reason = typeof flags.reason === "string" ? flags.reason.trim() : "";
  if (reason === "" || reason.length > LONGEST_REASON) {
    refuse(`--reason has to say why, in at most ${LONGEST_REASON} characters: every reader gets it.`);
  }
  const { skipEvents, whatOf } = await import("../daemon/skip.ts");
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    const skipped = await skipEvents(config, positions, {
      reason,
      noSnapshot: flags.snapshot === false,
      onStep: (line) => void process.stderr.write(`${line}\n`),
      signal: stopping.signal,
    });
    for (const { of, reread, whyNot } of skipped) {
      const next = reread
        ? " The next start reads the table again."
        : of.table === null
          ? ""
          : ` The table is not read again, since ${whyNot}: afterimage snapshot ${of.table} does it later.`;
      process.stdout.write(`Left out ${whatOf(of)}; a gap says so to its readers.${next}\n`);
    }
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

function refuse(what: string): never {
  throw new AfterimageError(
    "USAGE",
    what,
    'Such as: afterimage skip 1:0/16B3748:3 --reason "row too large". The error with which the stream halts names the position.',
  );
}
