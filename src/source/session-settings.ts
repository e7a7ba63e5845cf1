// What every connection to Postgres starts with: the address, and the settings that must not depend on its owner's.
import type pg from "pg";

/** How to reach the database. `password` overrides the URL's. */
export interface PostgresSettings {
  readonly url: string;
  readonly password?: string | undefined;
  /** Until a connection is open; 10,000 ms by default. */
  readonly connectTimeoutMs?: number;
  /** Until a query has its answer, else the connection counts as lost; 60,000 ms by default. */
  readonly queryTimeoutMs?: number;
  /** How long a replication connection that is read may be silent; 30,000 ms or `wal_sender_timeout` by default. */
  readonly silenceMs?: number;
}

// Lossless and independent of what the database's owner set with ALTER DATABASE or ALTER ROLE, or a user in the URL.
// https://www.postgresql.org/docs/current/runtime-config-client.html
const PINNED = {
  client_encoding: "UTF8",
  datestyle: "ISO",
  intervalstyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "3",
  timezone: "UTC",
  lc_monetary: "C",
  search_path: "",
  statement_timeout: "0",
  lock_timeout: "0",
  idle_session_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  xmlbinary: "base64",
  // It reaches the text of regclass, regtype and their like.
  quote_all_identifiers: "off",
} as const;

/** The `options` of the start-up packet: `-c name=value …`. */
export const PINNED_OPTIONS = Object.entries(PINNED)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(" ");

/** Pins what older servers don't know, and would refuse in the start-up packet. One simple query, so walsenders take it. */
export const PIN_LATE = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/**
 * Has a database without an encoding send its bytes as they are: to any other client_encoding Postgres checks them, and
 * ends the stream at the first that don't fit, without a position. One simple query, so walsenders take it.
 */
export const SEND_AS_IS =
  "SELECT set_config('client_encoding', 'SQL_ASCII', false) WHERE current_setting('server_encoding') = 'SQL_ASCII'";

/** Parameters of the URL that the driver would put above ours, or that the server puts above `options`. */
const TAKEN_OUT = new Set([
  "options",
  "application_name",
  "fallback_application_name",
  "client_encoding",
  "replication",
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "query_timeout",
]);

/**
 * The driver's configuration for these settings. The URL's own `options` are kept (some hosts route by them), but
 * stand before ours: of a setting that is named twice Postgres takes the last.
 */
export function clientConfig(settings: PostgresSettings, applicationName: string): pg.ClientConfig {
  const { url, options } = takeOutParameters(settings.url);
  return {
    connectionString: url,
    ...(settings.password === undefined ? {} : { password: settings.password }),
    options: [...options, PINNED_OPTIONS].join(" "),
    application_name: applicationName,
    connectionTimeoutMillis: settings.connectTimeoutMs ?? 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

// The rest of the URL stays as it is written, byte by byte: what it means is the driver's business.
function takeOutParameters(url: string): { url: string; options: string[] } {
  const [address, query] = splitOnce(url, "?");
  if (query === undefined) {
    return { url, options: [] };
  }
  const parameters = query.split("&");
  const nameOf = (parameter: string): string => new URLSearchParams(parameter).keys().next().value ?? "";
  const kept = parameters.filter((parameter) => !TAKEN_OUT.has(nameOf(parameter)));
  return {
    url: kept.length === 0 ? address : `${address}?${kept.join("&")}`,
    options: new URLSearchParams(query).getAll("options").filter((options) => options !== ""),
  };
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
