// Servers that the environment names: looked for before anything is started, so that a wrong address is told at once.
import pg from "pg";
import { AfterimageError } from "../../src/errors.ts";
import { codeOf, listens } from "./process.ts";

const PATIENCE_MS = 5_000;

/** Throws SERVER_NOT_REACHED; its message holds no password. */
export async function checkNamed(url: string | undefined, brokers: string | undefined): Promise<void> {
  if (url !== undefined) await checkPostgres(url);
  if (brokers !== undefined) await checkBrokers(brokers.split(",").map((broker) => broker.trim()));
}

async function checkPostgres(url: string): Promise<void> {
  const name = "AFTERIMAGE_TEST_POSTGRES_URL";
  if (!/^postgres(ql)?:\/\//i.test(url) || !URL.canParse(url)) {
    throw notReached(name, "is no URL such as postgres://postgres:password@localhost:5432/postgres");
  }
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PATIENCE_MS });
  client.on("error", () => undefined); // the answer is given by connect()
  try {
    await client.connect();
    await client.end();
  } catch (cause) {
    throw notReached(name, `names a Postgres that does not let us in (${codeOf(cause) ?? "no answer"})`, cause);
  }
}

async function checkBrokers(brokers: readonly string[]): Promise<void> {
  const answers = await Promise.all(
    brokers.map((broker) => {
      const [, host, port] = /^\[?(.+?)\]?:([1-9]\d{0,4})$/.exec(broker) ?? [];
      return host !== undefined && Number(port) < 65_536 && listens(Number(port), host);
    }),
  );
  if (!answers.includes(true)) {
    throw notReached("AFTERIMAGE_TEST_KAFKA_BROKERS", `names ${brokers.join(", ")}, where nothing listens`);
  }
}

function notReached(name: string, what: string, cause?: unknown): AfterimageError {
  const advice = "Correct it, or unset it: then a server is started.";
  return new AfterimageError("SERVER_NOT_REACHED", `${name} ${what}.`, advice, { cause });
}
