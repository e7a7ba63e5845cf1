// Opens the first SQL connection: waits for a server that is not up yet, and names what is wrong with one that refuses.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { messageOf } from "../errors.ts";
import { quoteIdentifier } from "../event/identifier.ts";
import { type Finding, inTurn, problem, sql } from "./finding.ts";
import { clientConfig, closeSql, endWhenUnanswered, errorCode, hostOf, type PostgresSettings } from "./session.ts";

/** How far a connection attempt got; tells apart the errors to which the driver gives no code. */
export interface Progress {
  connected: boolean;
  encrypted: boolean;
  passwordAsked: boolean;
}

export interface FailedAttempt {
  readonly error: unknown;
  readonly progress: Progress;
}

const RETRY_EVERY_MS = 500;

export interface Patience {
  /** How long to try a server that does not answer or is still starting. */
  readonly waitMs: number;
  /** Called once when waiting begins. */
  readonly onWaiting?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** The connected client, or the finding that says why there is none. */
export async function connectPatiently(
  settings: PostgresSettings,
  patience: Patience,
): Promise<{ client: pg.Client } | { finding: Finding }> {
  const deadline = performance.now() + patience.waitMs;
  for (let attempts = 0; ; attempts++) {
    const result = await attempt(clientConfig(settings, "afterimage preflight"));
    if ("client" in result) return result;
    if (!isWorthWaiting(result, settings) || performance.now() >= deadline) {
      return { finding: connectionFinding(result, settings, patience.waitMs) };
    }
    if (attempts === 0) {
      patience.onWaiting?.(
        `Postgres at ${hostOf(settings.url)} does not answer yet (${reason(result.error)}); trying for ${Math.ceil(patience.waitMs / 1000)} s.`,
      );
    }
    await sleep(Math.min(RETRY_EVERY_MS, Math.max(1, deadline - performance.now())), undefined, {
      ...(patience.signal === undefined ? {} : { signal: patience.signal }),
    });
  }
}

/** One attempt with an own driver configuration; a failed client is closed. */
export async function attempt(config: pg.ClientConfig): Promise<{ client: pg.Client } | FailedAttempt> {
  const client = new pg.Client(config);
  endWhenUnanswered(client);
  const progress: Progress = { connected: false, encrypted: false, passwordAsked: false };
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
  connection.once("connect", () => {
    progress.connected = true;
  });
  connection.once("sslconnect", () => {
    progress.encrypted = true;
  });
  for (const event of ["authenticationSASL", "authenticationMD5Password", "authenticationCleartextPassword"]) {
    connection.once(event, () => {
      progress.passwordAsked = true;
    });
  }
  // A connection lost later rejects the query that runs on it.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return { client };
  } catch (error) {
    await closeSql(client);
    return { error, progress };
  }
}

const NOT_UP_YET = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ENOENT", // a Unix socket that isn't there yet
  "57P03", // cannot_connect_now: starting up, shutting down, in recovery
  "57P01", // admin_shutdown
  "53300", // too_many_connections
]);

function isWorthWaiting(failed: FailedAttempt, settings: PostgresSettings): boolean {
  const code = errorCode(failed.error);
  if (code !== undefined) return NOT_UP_YET.has(code);
  // Without a code the driver timed out, the server hung up, or one of these two, which waiting doesn't mend.
  return !failed.progress.passwordAsked && !lacksTls(failed.progress, settings);
}

/** The URL asks for TLS, and the server answered the request for it with no. */
function lacksTls({ connected, encrypted }: Progress, settings: PostgresSettings): boolean {
  return connected && !encrypted && /[?&]sslmode=(?!disable)/.test(settings.url);
}

const TLS_CODES = /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO$)/;

/** What a failed connection means and what to do. Never shows the password. */
export function connectionFinding(failed: FailedAttempt, settings: PostgresSettings, waitedMs: number): Finding {
  const { error, progress } = failed;
  const code = errorCode(error);
  const host = hostOf(settings.url);
  const { user, database } = identity(settings.url);
  if (code !== undefined && TLS_CODES.test(code)) {
    return problem(
      "POSTGRES_TLS_FAILED",
      `TLS to Postgres at ${host} failed (${code}).`,
      "Name the server's certificate authority in the URL (?sslmode=verify-full&sslrootcert=FILE), or ?sslmode=no-verify to encrypt without checking who answers.",
    );
  }
  switch (code) {
    case "28P01":
      return problem(
        "POSTGRES_AUTHENTICATION_FAILED",
        `Postgres at ${host} refuses the password of user ${user} (SQLSTATE ${code}).`,
        "Set the right one in postgres.url, AFTERIMAGE_POSTGRES_URL or postgres.passwordFile.",
      );
    case "28000":
      return problem(
        "POSTGRES_AUTHENTICATION_FAILED",
        `Postgres at ${host} does not let user ${user} in (SQLSTATE ${code}: no such user, no LOGIN, or no line in pg_hba.conf).`,
        `Check the user (\\du ${user}) and that pg_hba.conf has a line for this client's address, database ${database} and user ${user}; hosted servers often also demand TLS (?sslmode=verify-full).`,
      );
    case "3D000":
      return problem(
        "POSTGRES_DATABASE_MISSING",
        `There is no database ${database} on Postgres at ${host}.`,
        "Correct the database at the end of postgres.url, or create it.",
      );
    case "42501":
      return problem(
        "POSTGRES_NOT_AUTHORIZED",
        `User ${user} may not connect to database ${database}.`,
        inTurn([sql(`GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)};`)]),
      );
    case "08P01": // protocol_violation: PgBouncer's answer to whatever it doesn't know
      return pooler(host, `the connection's start-up settings are refused (SQLSTATE ${code})`);
    default:
      break;
  }
  if (code === undefined && progress.passwordAsked) {
    return problem(
      "POSTGRES_AUTHENTICATION_FAILED",
      `Postgres at ${host} asks for a password of user ${user}, and none fits or none is set.`,
      "Set it in postgres.url, AFTERIMAGE_POSTGRES_URL or postgres.passwordFile.",
    );
  }
  if (code === undefined && lacksTls(progress, settings)) {
    return problem(
      "POSTGRES_TLS_FAILED",
      `Postgres at ${host} does not offer TLS.`,
      "Switch it on there (ssl = on), or take sslmode out of postgres.url.",
    );
  }
  const waited = waitedMs > 0 ? ` for ${formatWait(waitedMs)}` : "";
  return problem(
    "POSTGRES_UNREACHABLE",
    `Postgres at ${host} was tried${waited} and does not answer (${reason(error)}).`,
    "Check host and port in postgres.url, that the server runs, and that no firewall is in between; startup.wait sets how long to try.",
  );
}

export function pooler(host: string, sign: string): Finding {
  return problem(
    "POSTGRES_POOLER",
    `At ${host} answers a connection pooler, not Postgres itself: ${sign}.`,
    "Replication needs a direct connection: put the server's own host and port into postgres.url (often port 5432 instead of 6432 or 6543, or the host name without “-pooler”).",
  );
}

/** User and database that the URL means, by libpq's defaults. */
export function identity(url: string): { user: string; database: string } {
  const client = new pg.Client({ connectionString: url });
  return { user: client.user ?? "", database: client.database ?? client.user ?? "" };
}

function reason(error: unknown): string {
  return errorCode(error) ?? messageOf(error);
}

function formatWait(milliseconds: number): string {
  return milliseconds >= 1000 ? `${Math.round(milliseconds / 1000)} s` : `${milliseconds} ms`;
}
