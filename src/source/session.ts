// Plain SQL connections to the captured database: opened, watched for a server that fell silent, and closed.
import type { Socket } from "node:net";
import pg from "pg";
import { AfterimageError, messageOf } from "../errors.ts";
import { clientConfig, PIN_LATE, type PostgresSettings } from "./session-settings.ts";

export { clientConfig, type PostgresSettings } from "./session-settings.ts";

export const QUERY_TIMEOUT_MS = 60_000;
/** How long the server may take to answer a goodbye. */
const GOODBYE_MS = 1_000;

/**
 * Opens a SQL connection. `onLost` is called once when it is lost; with SQLSTATE 57P01 the server is being shut
 * down. An abort of `signal` ends the attempt. Throws the driver's error (its `code` is the SQLSTATE or node's error
 * code).
 */
export async function connectSql(
  settings: PostgresSettings,
  applicationName: string,
  onLost: (error: Error & { code: string }) => void = () => undefined,
  signal?: AbortSignal,
): Promise<pg.Client> {
  const client = new pg.Client(clientConfig(settings, applicationName));
  endWhenUnanswered(client, settings.queryTimeoutMs);
  let lost = false;
  client.on("error", (error) => {
    if (!lost) {
      lost = true;
      onLost(asLost(error));
    }
  });
  const giveUp = () => socketOf(client).destroy();
  signal?.addEventListener("abort", giveUp);
  try {
    signal?.throwIfAborted();
    await client.connect().catch((error) => {
      // A server that ends the connection before it is ready has no code in the driver. Whatever else comes without
      // one, the preflight has names for.
      throw asLost(error);
    });
    await client.query(PIN_LATE);
    return client;
  } catch (error) {
    await closeSql(client);
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

/** Runs `use` with a connection that is closed afterwards, and at once when `signal` aborts. */
export async function withSql<T>(
  settings: PostgresSettings,
  applicationName: string,
  use: (client: pg.Client) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const client = await connectSql(settings, applicationName, undefined, signal);
  const abort = () => void closeSql(client);
  signal?.addEventListener("abort", abort);
  try {
    return await use(client);
  } finally {
    signal?.removeEventListener("abort", abort);
    await closeSql(client);
  }
}

/** Ends the connection; one whose other end does not answer is cut. */
export async function closeSql(client: pg.Client): Promise<void> {
  const late = setTimeout(() => socketOf(client).destroy(), GOODBYE_MS);
  await client.end().catch(() => undefined); // it may be gone already
  clearTimeout(late);
}

/**
 * Ends the statement that runs on this connection: closing the connection would leave it running on the server.
 * Never rejects: a server that can't be reached has nothing to be cancelled by us.
 */
export async function cancelStatement(settings: PostgresSettings, client: pg.Client): Promise<void> {
  const { processID } = client as unknown as { processID: number | null };
  const over = AbortSignal.timeout(2 * GOODBYE_MS);
  await withSql(settings, "afterimage cancel", (own) => own.query("SELECT pg_cancel_backend($1)", [processID]), over)
    // What is left running then ends by its own timeout.
    .catch(() => undefined);
}

/** A query that may take longer than others, such as one that waits for a lock. */
export interface LongQuery extends pg.QueryConfig {
  readonly patienceMs: number;
}

/**
 * A query without an answer ends its connection: the server is gone, or what stands between swallows the bytes. And
 * queries on a lost connection, which the driver fails without a code, fail with the loss. Queries that are asked beside
 * one another take turns, as the driver will not have it otherwise from its version 9 on; the patience with each begins
 * with its turn.
 */
export function endWhenUnanswered(client: pg.Client, patienceMs = QUERY_TIMEOUT_MS): void {
  const query = client.query.bind(client) as (...parameters: unknown[]) => Promise<unknown>;
  let lost: Error | undefined;
  client.once("error", (error) => {
    lost = asLost(error);
  });
  const ask = async (...parameters: [string | Partial<LongQuery>, ...unknown[]]) => {
    const [asked] = parameters;
    const patience = typeof asked === "object" ? (asked.patienceMs ?? patienceMs) : patienceMs;
    const timer = setTimeout(() => socketOf(client).destroy(new Unanswered(patience)), patience);
    try {
      return await query(...parameters);
    } catch (error) {
      throw errorCode(error) === undefined ? (lost ?? error) : error;
    } finally {
      clearTimeout(timer);
    }
  };
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (...parameters: Parameters<typeof ask>) => {
    const answer = turn.then(() => ask(...parameters));
    turn = answer.catch(() => undefined); // whoever asked is told
    return answer;
  };
  client.query = inTurn as unknown as typeof client.query;
}

/** The driver has no way to end a connection without the server's help. */
export function socketOf(client: pg.Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

/** No byte came though some were due. */
export class Unanswered extends Error {
  readonly code = "ETIMEDOUT";

  constructor(milliseconds: number) {
    super(`Postgres gave no sign for ${milliseconds} ms.`);
    this.name = "Unanswered";
  }
}

/** The driver gives no code to a connection that ends without a word. */
export class ConnectionLost extends Error {
  readonly code = "ECONNRESET";

  constructor(cause?: unknown) {
    super("The connection to Postgres ended.", { cause });
    this.name = "ConnectionLost";
  }
}

/** The error that ended a connection, with a code in every case. */
export function asLost(error: Error): Error & { code: string } {
  return errorCode(error) === undefined ? new ConnectionLost(error) : (error as Error & { code: string });
}

/** The SQLSTATE or node error code of something the driver threw. */
export function errorCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

const NETWORK_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** The network's errors, and the SQLSTATEs of a server that breaks off, shuts down, crashed, or is not up yet. */
export function isConnectionLoss(code: string): boolean {
  // 08P01, a protocol violation, is what a pooler answers to commands it doesn't know.
  return NETWORK_CODES.has(code) || /^(08(?!P01)...|57P0[1235])$/.test(code);
}

/** Host and port of a URL, without user and password. */
export function hostOf(url: string): string {
  try {
    const { hostname, port } = new URL(url);
    return `${hostname}:${port === "" ? "5432" : port}`;
  } catch {
    return "the given address";
  }
}

/** An error of a query that has no better name. */
export function queryFailed(what: string, thrown: unknown): AfterimageError {
  const code = errorCode(thrown);
  return new AfterimageError(
    "POSTGRES_QUERY_FAILED",
    `${what} failed${code === undefined ? "" : ` (SQLSTATE ${code})`}: ${messageOf(thrown)}.`,
    "Run afterimage doctor with the same settings; it names what is missing.",
    { cause: thrown },
  );
}
