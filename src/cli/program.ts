// The command line: its commands, flags and help. Each command's code is loaded only when it runs.
import { readFileSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { type Flags, withSettings } from "./options.ts";
import { hidePasswords } from "./process-list.ts";
import { EXIT, exitCodeOf, renderError, toAfterimageError } from "./render-error.ts";

const WHERE = ["stream", "admin.host", "admin.port", "pidFile"];

const EXAMPLES = `
Examples:
  $ afterimage start --stream shop --postgres postgres://cdc:secret@localhost:5432/shop --kafka localhost:9092
  $ afterimage start --config shop.yaml --detach
  $ afterimage status
  $ afterimage doctor --config shop.yaml
  $ afterimage tail --postgres postgres://postgres@localhost:5432/shop

Settings come from a YAML file, then environment variables (AFTERIMAGE_POSTGRES_URL, …), then flags; flags win.
Exit codes: 0 ok, 1 failure (verify: not proven), 2 usage or configuration, 3 Postgres or Kafka unreachable, 4 something
must be mended first (the daemon halted, doctor found errors), 5 no daemon runs.`;

const START_NOTES = `
As a file (--config shop.yaml):
  stream: shop
  postgres: { url: "postgres://cdc:secret@localhost:5432/shop" }
  tables: ["public.*", "!public.audit"]
  kafka: { brokers: ["localhost:9092"], partitions: 4 }
  admin: { host: 127.0.0.1, port: 7788 }

Rows written before the first start are read only with snapshot: initial, or by afterimage snapshot TABLE: the stream
begins at the position of the slot that it makes.`;

export function buildProgram(): Command {
  const program = new Command("afterimage")
    .description("Publishes every committed row change of a Postgres database to Kafka, exactly once.")
    .version(readVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .showHelpAfterError("  → afterimage --help lists the commands.")
    .configureOutput({
      outputError: (text, write) => write(`USAGE: ${text.replace(/^error: /, "")}`),
    })
    .exitOverride();

  withSettings(command(program, "start", "capture changes and publish them, until stopped"))
    .option("-d, --detach", "return once the daemon streams or stands by, and leave it running")
    .option(
      "--new-epoch",
      "go on after changes were lost: says what is missing, makes a new slot, reads every table again",
    )
    .option("--force", "with --new-epoch: also when nothing is seen to be lost")
    .addOption(new Option("--detached-child").hideHelp())
    .addHelpText("after", START_NOTES)
    .action(async (flags: Flags) => (await import("./start.ts")).start(flags));

  withSettings(command(program, "stop", "stop the daemon at a batch boundary, within 10 s"), WHERE).action(
    async (flags: Flags) => (await import("./stop.ts")).stop(flags),
  );

  withSettings(command(program, "status", "show what the daemon does and how far it is"), WHERE)
    .option("--json", "for programs: the status as JSON")
    .action(async (flags: Flags) => (await import("./status.ts")).status(flags));

  withSettings(
    command(program, "init", "write the SQL that an administrator runs, and a commented configuration; asks no server"),
    ["stream", "postgres.url", "tables", "snapshot", "kafka.brokers"],
    { file: false },
  )
    .option("--dir <folder>", "where the two files are written (this folder); none is overwritten")
    .option("--password-file <file>", "the file that will hold the role's password, for the configuration")
    .option("--failover", "the slot fails over to standbys (PostgreSQL 17 and later)")
    .action(async (flags: Flags) => (await import("./init.ts")).init(flags));

  withSettings(command(program, "doctor", "check Postgres, Kafka and tables, and name the remedy of what is wrong"))
    .option("--json", "for programs: the findings as JSON")
    .action(async (flags: Flags) => (await import("./doctor.ts")).doctor(flags));

  withSettings(
    command(program, "snapshot", "have the daemon read a table's rows and publish them while it streams on"),
    WHERE,
  )
    .argument("<table>", "its name, such as public.orders")
    .option("--where <condition>", "SQL: only the rows that meet it; rows that are gone then stay in views")
    .option("--cancel", "give up the snapshot of the table that is under way")
    .action(async (table: string, flags: Flags) => (await import("./snapshot.ts")).snapshot(table, flags));

  withSettings(command(program, "skip", "leave out events at which the stream halts, and say so to every reader"))
    .argument("<positions...>", "as the error names them, such as 1:0/16B3748:3")
    .requiredOption("--reason <text>", "why; it stands in the gap that takes the event's place")
    .option("--no-snapshot", "don't read the table again")
    .action(async (positions: string[], flags: Flags) => (await import("./skip.ts")).skip(positions, flags));

  withSettings(
    command(program, "verify", "prove that the stream is whole, and with --against-database equal to the tables"),
    ["stream", "postgres.url", "tables", "kafka.brokers"],
  )
    .option("--against-database", "compare what the topics come to with the tables, at one position")
    .option("--ignore-unseen", "rows older than the stream are no failure")
    .option("--allow-partial", "what could not be proved, since topics forget, is no failure")
    .option("--show-keys", "name the keys of rows that differ; without it no value is shown")
    .option("--wait <time>", "how long the daemon may take to reach the position (60s)")
    .option("--json", "for programs: the report as JSON")
    .action(async (flags: Flags) => (await import("./verify.ts")).verify(flags));

  withSettings(command(program, "types", "write TypeScript types and decoders for the tables of a stream"), [
    "stream",
    "postgres.url",
    "tables",
  ])
    .option("-o, --out <file>", "write it there; without it, to the standard output")
    .option("--check", "write nothing: fail when the file does not fit the tables")
    .option("--as-text <list>", "types (jsonb) or columns (public.orders.note) that stay text, with commas between")
    .action(async (flags: Flags) => (await import("./types.ts")).types(flags));

  withSettings(command(program, "drop", "remove a stream's slot and publication, and its topics if asked"), [
    "postgres.url",
    "kafka.brokers",
  ])
    .argument("<stream>", "name of the stream")
    .option("--topics", "delete its topics too, and with them everything published")
    .option("--foreign-server", "also topics that another server or database filled, one that is gone")
    .option("-y, --yes", "don't ask")
    .action(async (stream: string, flags: Flags) => (await import("./drop.ts")).drop(stream, flags));

  withSettings(command(program, "tail", "show every change of a database as it is committed; needs no Kafka"), [
    "postgres.url",
    "tables",
  ])
    .option("--publication <name>", "use this publication instead of a temporary one")
    .option("--json", "one event a line, in the form in which it would be published")
    .action(async (flags: Flags) => (await import("./tail.ts")).tail(flags));

  return program;
}

function command(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .helpOption("-h, --help", "print this help")
    .showHelpAfterError(`  → afterimage ${name} --help lists what it takes.`)
    .exitOverride();
}

/** Runs one command and sets the exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  hidePasswords(argv);
  quietLibraries();
  process.on("uncaughtException", endWith);
  process.on("unhandledRejection", endWith);
  try {
    const code: unknown = await runCommand(argv);
    if (typeof code === "number") process.exitCode = code;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      // Commander has written it already.
      process.exitCode = thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
      return;
    }
    const error = toAfterimageError(thrown);
    process.stderr.write(renderError(error));
    process.exitCode = exitCodeOf(error);
  }
}

/** For what no command expected; to end at any point is safe. */
function endWith(thrown: unknown): never {
  // Whoever read our output has gone, as `| head` does.
  if ((thrown as { code?: unknown } | null)?.code === "EPIPE") process.exit(EXIT.ok);
  const error = toAfterimageError(thrown);
  process.stderr.write(renderError(error));
  process.exit(exitCodeOf(error));
}

async function runCommand(argv: readonly string[]): Promise<void> {
  const program = buildProgram();
  if (argv.length <= 2) {
    program.outputHelp();
    return;
  }
  await program.parseAsync([...argv]);
}

// kafkajs asks for timers of negative length, and Node warns of it; that helps nobody who reads a terminal.
function quietLibraries(): void {
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (warning.name !== "TimeoutNegativeWarning" && warning.name !== "ExperimentalWarning") {
      process.stderr.write(`${warning.name}: ${warning.message}\n`);
    }
  });
}

function readVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
