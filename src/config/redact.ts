// Keeps passwords out of what is shown: URLs are printed without their password, other secrets not at all.

/** The URL without its password; when it can't be read as one, only its scheme, since anything in it may be secret. */
export function redactUrl(url: string): string {
  const parsed = parsePostgresUrl(url);
  if (parsed === undefined) return `${/^[a-z]+:/i.exec(url)?.[0] ?? ""}(hidden)`;
  const secret = [...parsed.searchParams.keys()].filter((name) => /password|secret|token/i.test(name));
  for (const name of secret) parsed.searchParams.delete(name);
  if (parsed.password !== "") parsed.password = "***";
  return parsed.href.replace(NO_HOST, "");
}

/** The URL with neither password nor the parameters that hold one, to be written down; undefined when it is none. */
export function withoutPassword(url: string): string | undefined {
  const parsed = parsePostgresUrl(url);
  if (parsed === undefined) return undefined;
  parsed.password = "";
  for (const name of [...parsed.searchParams.keys()]) {
    if (/password|secret|token/i.test(name)) parsed.searchParams.delete(name);
  }
  return parsed.href.replace(NO_HOST, "");
}

const NO_HOST = "socket.invalid";

/**
 * A postgres:// URL, also one without a host, which names a Unix socket by `?host=` (WHATWG URLs refuse it).
 * Undefined when it is none. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export function parsePostgresUrl(url: string): URL | undefined {
  if (!/^postgres(ql)?:\/\//i.test(url)) return undefined;
  const complete = url.replace(/^(\w+:\/\/(?:[^@/?#]*@)?)(?=[/?#]|$)/, (start) =>
    start.endsWith("@") ? `${start}${NO_HOST}` : `${start}@${NO_HOST}`,
  );
  return URL.canParse(complete) ? new URL(complete) : undefined;
}

/** A value that may be shown in a message: short, and never one that could hold a password. */
export function shown(value: unknown): string {
  if (value === null) return "nothing";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a group of settings";
  if (typeof value !== "string") return `a ${typeof value}`;
  if (value.includes("@") || value.includes("://")) return "a text (hidden, it may hold a password)";
  return value.length > 60 ? `${JSON.stringify(value.slice(0, 57))}…` : JSON.stringify(value);
}
