// The list of every setting: its path, environment variable, flag, and what it means. Parsing, messages and docs use it.
import { KAFKA_SETTINGS } from "./kafka-settings.ts";

import type { Setting } from "./setting.ts";

export type { Setting, SettingKind } from "./setting.ts";

const PATTERNS = 'a list of patterns such as "public.*", "public.orders" or "!public.audit"';
const FILE = "the path of a file";

export const SETTINGS: readonly Setting[] = [
  {
    path: "stream",
    kind: "text",
    flag: "--stream <name>",
    expected: "1 to 40 characters of a-z, 0-9 and _",
    about: "Name of the stream: one replication slot and the prefix of its topics.",
    example: "shop",
  },
  {
    path: "postgres.url",
    kind: "text",
    flag: "--postgres <url>",
    expected: "a URL such as postgres://user:password@host:5432/database",
    about: "The database to read, by a user that may replicate. Not a pooler's address.",
    example: "postgres://user:password@localhost:5432/shop",
    secret: true,
  },
  {
    path: "postgres.passwordFile",
    kind: "text",
    expected: FILE,
    about: "File that holds the password; it wins over the one in the URL.",
  },
  {
    path: "postgres.standbyUrl",
    kind: "text",
    expected: "a URL such as postgres://user:password@standby:5432/database",
    about: "A hot standby of that server: slot and changes are had from there (PostgreSQL 16 and later).",
    secret: true,
  },
  {
    path: "postgres.slot",
    kind: "text",
    default: "afterimage_<stream>",
    expected: "1 to 63 characters of a-z, 0-9 and _",
    about: "Name of the replication slot.",
  },
  {
    path: "postgres.publication",
    kind: "text",
    default: "afterimage_<stream>",
    expected: "a name of 1 to 63 bytes",
    about: "Name of the publication. One that exists already is used as it is.",
  },
  {
    path: "postgres.failover",
    kind: "boolean",
    default: "false",
    expected: "true or false",
    about: "The slot is made so that standbys copy it and it survives a promotion (PostgreSQL 17 and later).",
  },
  {
    path: "postgres.origin",
    kind: "text",
    default: "any",
    expected: "any or none",
    about: "`none`: what came into this database by replication is left out (PostgreSQL 16 and later).",
  },
  {
    path: "postgres.acceptPublicationXmin",
    kind: "integer",
    expected: "a whole number from 3 to 4294967295",
    about: "Goes on after PUBLICATION_CHANGED: the number that it names, once you have looked at what was altered.",
  },
  {
    path: "tables",
    kind: "list",
    default: '["public.*"]',
    flag: "--tables <pattern,…>",
    expected: `${PATTERNS}, at least one of them without "!"`,
    about: 'Tables to capture. `*` stands for any characters inside a part, quotes take a part as it is, "!" excludes.',
  },
  {
    path: "keyless",
    kind: "list",
    default: "[]",
    expected: PATTERNS,
    about: "Tables that are published without a record key, such as those whose key is DEFERRABLE.",
  },
  {
    path: "snapshot",
    kind: "text",
    default: "initial",
    flag: "--snapshot <when>",
    expected: "initial or never",
    about:
      "`initial`: rows that a table holds when it is new to the stream are read and published while streaming goes on.",
  },
  {
    path: "onRewrite",
    kind: "text",
    default: "snapshot",
    expected: "snapshot or halt",
    about:
      "What answers a table whose rows changed, or went by, without events: `snapshot` reads it anew beside the stream, `halt` ends the daemon with a named error.",
  },
  {
    path: "snapshotConnections",
    kind: "integer",
    default: "2",
    expected: "a whole number from 1 to 16",
    about: "Connections over which snapshots read: several tables, or ranges of one, at a time.",
  },
  {
    path: "streaming",
    kind: "text",
    default: "off",
    expected: "on or off",
    about:
      "`on`: Postgres sends large transactions while they are still open; they are kept in `spoolFolder` until they commit.",
  },
  {
    path: "spoolFolder",
    kind: "text",
    expected: "the path of a folder",
    about: "Where `streaming: on` keeps open transactions. On a disk with room for the largest of them.",
    example: "/var/lib/afterimage",
  },
  {
    path: "topics",
    kind: "map",
    default: "{}",
    expected: 'table names and their topics, such as {"public.orders": "shop.orders"}; each topic once',
    about: "Another topic name for a table. A topic has 1 to 249 characters of A-Z, a-z, 0-9, `.`, `_` and `-`.",
  },
  {
    path: "messages.prefixes",
    kind: "list",
    default: "[]",
    expected: 'a list of prefixes such as "outbox" or "audit.*"',
    about:
      "Transactional messages (`pg_logical_emit_message`) with these prefixes are published, into `<stream>.messages`. `*` stands for any characters.",
  },
  {
    path: "images",
    kind: "map",
    default: "{}",
    expected: 'table names with "complete", such as {"public.orders": "complete"}',
    about:
      "`complete`: `before` is the whole old row, and no value is left out as unchanged, without REPLICA IDENTITY FULL. A partitioned table's name stands for its partitions.",
  },
  {
    path: "imagesFile",
    kind: "text",
    default: "afterimage-<stream>.images",
    expected: FILE,
    about: "File that holds the last row of every key of those tables; rebuilt from the topics when it is lost.",
  },
  ...KAFKA_SETTINGS,
  {
    path: "admin.host",
    kind: "text",
    default: "127.0.0.1",
    flag: "--admin-host <host>",
    expected: "a host name or address",
    about: "Where status and stop are served. In a container: 0.0.0.0.",
  },
  {
    path: "admin.port",
    kind: "integer",
    default: "7788",
    flag: "--admin-port <n>",
    expected: "a whole number from 0 to 65535 (0 takes any free port)",
    about: "Port of the admin address.",
  },
  {
    path: "admin.hostnames",
    kind: "list",
    default: "[]",
    expected: "a list of host names",
    about: "Names by which others may ask the admin address, such as the container's; localhost always may.",
  },
  {
    path: "metrics.host",
    kind: "text",
    default: "127.0.0.1, where metrics.port is set",
    expected: "a host name or address",
    about:
      "An address of its own for `/metrics`, `/healthz` and `/readyz` alone, which others may reach; the admin address has them too.",
  },
  {
    path: "metrics.port",
    kind: "integer",
    default: "7789, where metrics.host is set",
    expected: "a whole number from 0 to 65535 (0 takes any free port)",
    about: "Port of that address. When neither is set there is none.",
  },
  {
    path: "startup.wait",
    kind: "text",
    default: "60s",
    expected: 'a time such as "60s", "500ms" or "2m", at most 24h',
    about: "How long `start` and `doctor` try servers that are not up yet.",
  },
  {
    path: "batch.maxBytes",
    kind: "text",
    default: "1MiB",
    expected: 'a size from 64KiB to 256MiB, such as 4194304 or "4MiB"',
    about: "Encoded bytes after which a Kafka transaction is closed.",
  },
  {
    path: "batch.linger",
    kind: "text",
    default: "5ms",
    expected: 'a time from "0ms" to "20ms"',
    about: "How long a batch waits for more events.",
  },
  {
    path: "walGuard.warn",
    kind: "text",
    default: "10GiB, or walGuard.alert where that is less",
    expected: 'a size from 1MiB, such as "10GiB"',
    about:
      "WAL that the slot keeps on the server from which on the log warns; earlier at half of `max_slot_wal_keep_size`.",
  },
  {
    path: "walGuard.alert",
    kind: "text",
    default: "50GiB, or walGuard.giveUp where that is less",
    expected: "a size from 1MiB, not below walGuard.warn",
    about: "From here on it is an error in the log, every 5 minutes; earlier at 80 % of `max_slot_wal_keep_size`.",
  },
  {
    path: "walGuard.giveUp",
    kind: "text",
    expected: "a size from 1MiB, not below walGuard.alert",
    about:
      "From here on the daemon gives the slot up, to save the database's disk, and goes on in a new epoch. Never, when it is not set.",
  },
  {
    path: "pidFile",
    kind: "text",
    flag: "--pid-file <file>",
    expected: FILE,
    about: "File with the daemon's process id; `start --detach` writes one in any case.",
  },
  {
    path: "log.level",
    kind: "text",
    default: "info",
    flag: "--log-level <level>",
    expected: "trace, debug, info, warn, error or silent",
    about: "What is logged.",
  },
  {
    path: "log.format",
    kind: "text",
    default: "auto",
    flag: "--log-format <format>",
    expected: "auto, json or pretty",
    about: "auto: readable lines on a terminal, else one JSON object a line.",
  },
  {
    path: "log.file",
    kind: "text",
    flag: "--log-file <file>",
    expected: FILE,
    about: "File that log lines are appended to, instead of the standard output.",
  },
];
