// The sample's settings: flags, over environment variables, over defaults.
import { parseArgs } from "node:util";
import { AfterimageError } from "../../sdk/index.ts";

export interface Settings {
  readonly brokers: readonly string[];
  readonly stream: string;
  readonly table: string;
  readonly file: string;
  readonly host: string;
  readonly port: number;
  /** Host names under which the page may be asked for, besides `host` and the loopback names. */
  readonly allowedHosts: readonly string[];
}

export const USAGE = `A search page over a table, kept equal to it by afterimage.

usage: node src/sample/search-index/main.ts [options]

  --kafka HOST:PORT,…     brokers                          AFTERIMAGE_KAFKA_BROKERS   localhost:9092
  --stream NAME           the daemon's stream              AFTERIMAGE_STREAM          shop
  --table SCHEMA.TABLE    the table of products            SEARCH_TABLE               public.products
  --file FILE             the index, a SQLite file         SEARCH_FILE                search-index.db
  --host ADDRESS          where the page listens           SEARCH_HOST                127.0.0.1
  --port N                0 takes a free one               SEARCH_PORT                7799
  --allow-host NAME,…     names the page is reached by     SEARCH_ALLOWED_HOSTS
  --help

The table has the columns id (the key), name, description, brand, category, price, stock and updated_at; others are
left out. Ctrl-C stops it; the next start goes on where it was.`;

/** Null when help was asked for. @throws USAGE_INVALID */
export function readSettings(args: readonly string[], env: NodeJS.ProcessEnv): Settings | null {
  const flags = readFlags(args);
  if (flags.help === true) {
    return null;
  }
  const portText = flags.port ?? env.SEARCH_PORT ?? "7799";
  const port = Number(portText);
  if (!/^\d{1,5}$/.test(portText) || port > 65_535) {
    throw usageError(`The port is ${JSON.stringify(portText)}, and has to be a number from 0 to 65535.`);
  }
  const brokers = list(flags.kafka ?? env.AFTERIMAGE_KAFKA_BROKERS ?? "localhost:9092");
  if (brokers.length === 0) {
    throw usageError("No Kafka broker was given.");
  }
  return {
    brokers,
    stream: flags.stream ?? env.AFTERIMAGE_STREAM ?? "shop",
    table: flags.table ?? env.SEARCH_TABLE ?? "public.products",
    file: flags.file ?? env.SEARCH_FILE ?? "search-index.db",
    host: flags.host ?? env.SEARCH_HOST ?? "127.0.0.1",
    port,
    allowedHosts: list(flags["allow-host"] ?? env.SEARCH_ALLOWED_HOSTS ?? ""),
  };
}

function readFlags(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        kafka: text,
        stream: text,
        table: text,
        file: text,
        host: text,
        port: text,
        "allow-host": text,
        help: { type: "boolean" },
      },
    }).values;
  } catch (cause) {
    const first = cause instanceof Error ? cause.message.split(/\.\s/)[0]! : "The flags can't be read";
    throw usageError(`${first}.`, cause);
  }
}

const list = (text: string): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function usageError(what: string, cause?: unknown): AfterimageError {
  return new AfterimageError("USAGE_INVALID", what, "Run it with --help to see all options.", { cause });
}
