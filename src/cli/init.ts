// `afterimage init`: writes the SQL that an administrator runs and a commented configuration. Asks no server, and never
// overwrites a file.
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { loadConfigPart } from "../config/config.ts";
import { parsePostgresUrl, withoutPassword } from "../config/redact.ts";
import { configTemplate } from "../config/template.ts";
import { setupSql } from "../daemon/setup-sql.ts";
import { AfterimageError } from "../errors.ts";
import { type Flags, sourcesOf } from "./options.ts";

const DEFAULT_BROKERS = "localhost:9092";

export async function init(flags: Flags): Promise<void> {
  // No file: the one that is written is the first.
  const { env, flags: given = {} } = sourcesOf(flags);
  const brokers = given["kafka.brokers"] ?? (env.AFTERIMAGE_KAFKA_BROKERS || DEFAULT_BROKERS);
  const config = loadConfigPart({ env, flags: { ...given, "kafka.brokers": brokers } }, [
    ...(["stream", "postgres", "tables", "keyless", "snapshot", "kafka"] as const),
  ]);
  const { stream, postgres, tables, snapshot, kafka } = config;
  const { role, database, url } = identityOf(postgres.url);
  const passwordFile = typeof flags.passwordFile === "string" ? flags.passwordFile : null;
  const sql = setupSql({
    ...postgres,
    stream,
    role,
    database,
    tables,
    readsRows: snapshot === "initial",
    failover: flags.failover === true,
  });
  const standbyUrl = postgres.standbyUrl === undefined ? null : identityOf(postgres.standbyUrl).url;
  const yaml = configTemplate({
    ...postgres,
    stream,
    url,
    standbyUrl,
    passwordFile,
    tables,
    snapshot,
    brokers: kafka.brokers,
  });
  const folder = typeof flags.dir === "string" ? flags.dir : ".";
  const files: [path: string, text: string][] = [
    [join(folder, `${stream}.sql`), sql],
    [join(folder, `${stream}.yaml`), yaml],
  ];
  writeAll(files);
  const [sqlFile, yamlFile] = files.map(([path]) => path) as [string, string];
  process.stdout.write(
    `Wrote ${sqlFile} and ${yamlFile}. Read them, then:\n` +
      `  1. an administrator runs ${sqlFile} once, in the database, and sets the role's password (it says how)\n` +
      `  2. afterimage doctor --config ${yamlFile}\n` +
      `  3. afterimage start --config ${yamlFile}\n`,
  );
}

/** Role and database that the URL names, and the URL without its password. Throws USAGE. */
export function identityOf(text: string): { role: string; database: string; url: string } {
  const { username, pathname } = parsePostgresUrl(text)!;
  const [role, database] = [username, pathname.slice(1)].map(decoded) as [string, string];
  const advice = "Write postgres://ROLE@HOST:5432/DATABASE, without a password, ROLE being the one that is to be made.";
  if (role === "" || database === "") {
    throw new AfterimageError("USAGE", `The Postgres URL names no ${role === "" ? "role" : "database"}.`, advice);
  }
  if (/^(pg_.*|public|none|postgres)$/s.test(role)) {
    throw new AfterimageError("USAGE", `${role} can't be the daemon's role: Postgres has it for itself.`, advice);
  }
  for (const [what, name] of [
    ["role", role],
    ["database", database],
  ]) {
    if (Buffer.byteLength(name!) > 63 || name!.includes("\0")) {
      throw new AfterimageError("USAGE", `The name of the ${what} has more than 63 bytes, or a zero byte.`, advice);
    }
  }
  return { role, database, url: withoutPassword(text)! };
}

/** Empty for what is not percent-encoded UTF-8. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // refused as a name that isn't there
  }
}

/** All of them, or none. Throws INIT_FILE. */
function writeAll(files: readonly (readonly [path: string, text: string])[]): void {
  const made: string[] = [];
  try {
    for (const [path, text] of files) {
      // "wx": a file that is there, be it a link to nowhere, is left alone.
      const file = openSync(path, "wx", 0o600);
      made.push(path);
      try {
        writeSync(file, text);
      } finally {
        closeSync(file);
      }
    }
  } catch (cause) {
    for (const path of made) rmSync(path, { force: true });
    const failed = files[made.length === files.length ? made.length - 1 : made.length]![0];
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw new AfterimageError(
      "INIT_FILE",
      exists
        ? `${failed} is there already; nothing was written.`
        : `${failed} can't be written (${(cause as NodeJS.ErrnoException).code}).`,
      exists
        ? "Move it away, or name another folder with --dir."
        : "Name a folder that exists and that this user may write with --dir.",
      { cause },
    );
  }
}
