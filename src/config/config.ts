// The resolved configuration: file, then environment over it, then flags over both; checked, with every default filled in.
import { readFileSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { AfterimageError, messageOf } from "../errors.ts";
import { problemsError, toProblems } from "./problems.ts";
import { parsePostgresUrl } from "./redact.ts";
import { CONFIG_SCHEMA, type ParsedConfig } from "./schema.ts";
import { environmentName } from "./setting-names.ts";
import { type ConfigSources, readSources } from "./sources.ts";
import { parseTablePattern } from "./table-patterns.ts";

export type { ConfigSources } from "./sources.ts";

export interface Config {
  readonly stream: string;
  readonly postgres: {
    /** With the password of `postgres.passwordFile` put in. Show it by `redactUrl` only. */
    readonly url: string;
    /** A standby of that server, which holds the slot; with the password likewise. Absent: the server itself does. */
    readonly standbyUrl?: string;
    readonly slot: string;
    readonly publication: string;
    /** Whether a slot that is made is one that standbys take over. */
    readonly failover: boolean;
    /** `none`: what came into the database by replication is not sent. */
    readonly origin: "any" | "none";
    /** The altered publication that an operator has looked at; null when there was none. */
    readonly acceptPublicationXmin: number | null;
    /** The password's; read again before every attempt to connect. */
    readonly passwordFile?: string;
  };
  /** Patterns for `matchesTable`. */
  readonly tables: readonly string[];
  /** Patterns of the tables that are published without a record key. */
  readonly keyless: readonly string[];
  /** Whether rows of a table that is new to the stream are read. */
  readonly snapshot: ParsedConfig["snapshot"];
  /** What answers rows that changed, or went by, without events. */
  readonly onRewrite: ParsedConfig["onRewrite"];
  readonly snapshotConnections: number;
  /** Where transactions are kept that are still open; null when Postgres sends them only once they commit. */
  readonly spoolFolder: string | null;
  /** Topic names that replace `<stream>.<schema>.<table>`. */
  readonly topics: readonly { readonly schema: string; readonly table: string; readonly topic: string }[];
  /** Patterns for `matchesPrefix`: which messages are published. */
  readonly messages: { readonly prefixes: readonly string[] };
  /** Tables whose events hold whole rows, before and after. */
  readonly images: readonly { readonly schema: string; readonly table: string }[];
  /** Where their last rows are kept. */
  readonly imagesFile: string;
  readonly kafka: {
    /** `host:port`. */
    readonly brokers: readonly string[];
    readonly clientId: string;
    readonly partitions: number;
    /** -1: the broker's default. */
    readonly replicationFactor: number;
    /** Contents (PEM) of the files that were named. */
    readonly ssl: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };
    readonly sasl?: {
      readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
      readonly username: string;
      readonly password: string;
      /** The password's; read again before every attempt to connect. */
      readonly passwordFile?: string;
    };
  };
  readonly admin: { readonly host: string; readonly port: number; readonly hostnames: readonly string[] };
  /** Where metrics and health are served to everybody; null: at the admin address alone. */
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly startup: { readonly waitMs: number };
  readonly batch: { readonly maxBytes: number; readonly lingerMs: number };
  /** Bytes of WAL that the slot keeps. */
  readonly walGuard: {
    readonly warn: number;
    readonly alert: number;
    /** Where the slot is given up; null: never. */
    readonly giveUp: number | null;
  };
  readonly pidFile: string | null;
  readonly log: {
    readonly level: ParsedConfig["log"]["level"];
    readonly format: ParsedConfig["log"]["format"];
    readonly file: string | null;
  };
}

/**
 * The whole configuration. Throws AfterimageError: CONFIG_FILE_UNREADABLE, CONFIG_SYNTAX, CONFIG_UNKNOWN_KEY,
 * CONFIG_INVALID, CONFIG_MISSING; several mistakes are listed in one message.
 */
export function loadConfig(sources: ConfigSources): Config {
  return loadConfigPart(sources, Object.keys(CONFIG_SCHEMA.shape) as (keyof Config)[]);
}

/** Some sections only, for commands that need no more: a missing or wrong setting elsewhere doesn't stop them. */
export function loadConfigPart<K extends keyof Config>(
  sources: ConfigSources,
  sections: readonly K[],
): Pick<Config, K> {
  const raw = readSources(sources);
  const wanted = new Set<string>(sections);
  const ignored = Object.keys(CONFIG_SCHEMA.shape).filter((key) => !wanted.has(key));
  const checked = Object.fromEntries(Object.entries(raw.values).filter(([key]) => !ignored.includes(key)));
  const schema = CONFIG_SCHEMA.omit(Object.fromEntries(ignored.map((key) => [key, true])) as Record<never, true>);
  const result = schema.safeParse(checked);
  const problems = [...raw.problems, ...toProblems(result.error?.issues ?? [], { ...raw, values: checked })];
  if (problems.length > 0) throw problemsError(problems);
  return resolve(result.data as Partial<ParsedConfig>, String(raw.values.stream ?? "")) as Pick<Config, K>;
}

function resolve(parsed: Partial<ParsedConfig>, stream: string): Partial<Config> {
  const { postgres, kafka, topics, startup, batch, walGuard, log } = parsed;
  return {
    ...(parsed.stream === undefined ? {} : { stream: parsed.stream }),
    ...(parsed.tables === undefined ? {} : { tables: parsed.tables, keyless: parsed.keyless ?? [] }),
    ...(parsed.snapshot === undefined ? {} : { snapshot: parsed.snapshot }),
    ...(parsed.onRewrite === undefined ? {} : { onRewrite: parsed.onRewrite }),
    ...(parsed.snapshotConnections === undefined ? {} : { snapshotConnections: parsed.snapshotConnections }),
    ...(parsed.streaming === undefined ? {} : { spoolFolder: resolveSpool(parsed.streaming, parsed.spoolFolder) }),
    ...(parsed.admin === undefined ? {} : { admin: parsed.admin }),
    ...(parsed.metrics === undefined ? {} : { metrics: resolveMetrics(parsed.metrics) }),
    ...(postgres === undefined ? {} : { postgres: resolvePostgres(postgres, stream) }),
    ...(kafka === undefined ? {} : { kafka: resolveKafka(kafka, stream) }),
    ...(topics === undefined ? {} : { topics: resolveTopics(topics, stream, parsed.messages) }),
    ...(parsed.messages === undefined ? {} : { messages: parsed.messages }),
    ...(parsed.images === undefined ? {} : { images: resolveImages(parsed.images, postgres?.origin) }),
    imagesFile: parsed.imagesFile ?? `afterimage-${stream}.images`,
    ...(startup === undefined ? {} : { startup: { waitMs: startup.wait } }),
    ...(batch === undefined ? {} : { batch: { maxBytes: batch.maxBytes, lingerMs: batch.linger } }),
    ...(log === undefined ? {} : { log: { ...log, file: log.file ?? null } }),
    ...(walGuard === undefined ? {} : { walGuard: resolveWalGuard(walGuard) }),
    pidFile: parsed.pidFile ?? null,
  };
}

function resolveSpool(streaming: ParsedConfig["streaming"], folder: string | undefined): string | null {
  if (streaming === "off") {
    return null;
  }
  if (folder === undefined) {
    throw new AfterimageError(
      "CONFIG_MISSING",
      "streaming is on, and spoolFolder is not set: open transactions have to be kept somewhere.",
      `Set spoolFolder or the environment variable ${environmentName("spoolFolder")} to a folder on a disk with room for your largest transaction, or set streaming: off.`,
    );
  }
  return resolvePath(folder);
}

function resolveMetrics({ host, port }: ParsedConfig["metrics"]): Config["metrics"] {
  return host === undefined && port === undefined ? null : { host: host ?? "127.0.0.1", port: port ?? 7789 };
}

/** A default gives way to what is set: whoever sets one of them need not set the others. */
function resolveWalGuard({ warn, alert, giveUp }: ParsedConfig["walGuard"]): Config["walGuard"] {
  const loud = alert ?? Math.max(warn ?? 0, Math.min(50 * 1024 ** 3, giveUp ?? Number.POSITIVE_INFINITY));
  return { warn: warn ?? Math.min(10 * 1024 ** 3, loud), alert: loud, giveUp: giveUp ?? null };
}

function resolvePostgres(postgres: ParsedConfig["postgres"], stream: string): Config["postgres"] {
  const { slot = `afterimage_${stream}`, publication = `afterimage_${stream}` } = postgres;
  const { url, standbyUrl, passwordFile, failover, origin, acceptPublicationXmin = null } = postgres;
  if (standbyUrl !== undefined && failover) {
    throw new AfterimageError(
      "CONFIG_INVALID",
      "postgres.standbyUrl and postgres.failover contradict each other: Postgres makes no slot on a standby that other standbys take over.",
      "Leave one of them out.",
    );
  }
  const addresses = standbyUrl === undefined ? { url } : { url, standbyUrl };
  const resolved = { ...addresses, slot, publication, failover, origin, acceptPublicationXmin };
  return passwordFile === undefined ? resolved : withPasswords({ ...resolved, passwordFile });
}

/** The passwords as their files hold them now: they may have been rotated. Throws CONFIG_FILE_UNREADABLE. */
export function rereadPasswords(config: Config): Config {
  const { postgres, kafka } = config;
  const { sasl } = kafka;
  return {
    ...config,
    postgres: withPasswords(postgres),
    kafka:
      sasl?.passwordFile === undefined
        ? kafka
        : { ...kafka, sasl: { ...sasl, password: saslPassword(sasl.passwordFile) } },
  };
}

function withPasswords(postgres: Config["postgres"]): Config["postgres"] {
  const { url, standbyUrl, passwordFile } = postgres;
  if (passwordFile === undefined) return postgres;
  const password = readSecret("postgres.passwordFile", passwordFile);
  const standby = standbyUrl === undefined ? {} : { standbyUrl: withPassword(standbyUrl, password) };
  return { ...postgres, url: withPassword(url, password), ...standby };
}

const saslPassword = (file: string): string => readSecret("kafka.sasl.passwordFile", file);

function withPassword(url: string, password: string): string {
  const user = decodeURIComponent(parsePostgresUrl(url)!.username);
  const encoded = `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  return url.replace(/^(\w+:\/\/)(?:[^@/?#]*@)?/, (_, scheme: string) => scheme + encoded);
}

function resolveKafka(kafka: ParsedConfig["kafka"], stream: string): Config["kafka"] {
  const { brokers, partitions, replicationFactor, ssl, sasl, clientId = `afterimage.${stream}` } = kafka;
  const settings = {
    brokers,
    partitions,
    replicationFactor,
    clientId,
    ssl: typeof ssl === "boolean" ? ssl : pems(ssl),
  };
  if (sasl === undefined) return settings;
  const { mechanism, username, passwordFile } = sasl;
  const password = passwordFile === undefined ? sasl.password : saslPassword(passwordFile);
  if (password === undefined) {
    throw new AfterimageError(
      "CONFIG_MISSING",
      "kafka.sasl has no password.",
      `Set kafka.sasl.passwordFile or the environment variable ${environmentName("kafka.sasl.password")}.`,
    );
  }
  const login = { mechanism, username, password };
  return { ...settings, sasl: passwordFile === undefined ? login : { ...login, passwordFile } };
}

function pems(files: { ca?: string | undefined; cert?: string | undefined; key?: string | undefined }) {
  const contents: { ca?: string; cert?: string; key?: string } = {};
  for (const name of ["ca", "cert", "key"] as const) {
    if (files[name] !== undefined) contents[name] = readFile(`kafka.ssl.${name}`, files[name]);
  }
  return contents;
}

function resolveTopics(
  topics: Record<string, string>,
  stream: string,
  messages: Partial<Config["messages"]> = {},
): Config["topics"] {
  const own = ["progress", "schemas", ...(messages.prefixes?.length ? ["messages"] : [])];
  for (const [table, topic] of Object.entries(topics)) {
    if (own.some((name) => topic === `${stream}.${name}`)) {
      throw new AfterimageError(
        "CONFIG_INVALID",
        `topics names ${topic} for ${table}, which is a topic of the stream itself.`,
        "Name another topic for the table.",
      );
    }
  }
  return Object.entries(topics).map(([name, topic]) => {
    const { schema, table } = parseTablePattern(name)!;
    return { schema: schema.literal!, table: table.literal!, topic };
  });
}

function resolveImages(images: Record<string, string>, origin: Config["postgres"]["origin"] = "any"): Config["images"] {
  const names = Object.keys(images);
  if (origin === "none" && names.length > 0) {
    throw new AfterimageError(
      "CONFIG_INVALID",
      "images and postgres.origin: none contradict each other: the last row of a key is known from the stream alone, and the stream leaves out what came by replication.",
      "Take the tables out of images and give them REPLICA IDENTITY FULL, or set postgres.origin to any.",
    );
  }
  return names.map((name) => {
    const { schema, table } = parseTablePattern(name)!;
    return { schema: schema.literal!, table: table.literal! };
  });
}

/** Editors end files with a line break that is no part of the password. */
const readSecret = (path: string, file: string): string => readFile(path, file).replace(/\r?\n$/, "");

function readFile(path: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
    throw new AfterimageError(
      "CONFIG_FILE_UNREADABLE",
      `${path} names ${file}, which can't be read (${code}).`,
      "Check the path, and that this user may read the file.",
      { cause: error },
    );
  }
}
