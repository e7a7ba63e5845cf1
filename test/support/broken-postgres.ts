// Broken set-ups of Postgres: what breaks each of them, and the code by which the checks before a start name it.
import pg from "pg";
import type { Finding } from "../../src/source/finding.ts";
import type { PreflightTarget } from "../../src/source/preflight.ts";
import { ReplicationStream } from "../../src/source/replication-stream.ts";
import type { TestDatabase } from "./database.ts";

export const ROLE = "cdc \"role'";

export interface Broken {
  code: string;
  severity?: Finding["severity"];
  /** Run as superuser in the database, which is empty. */
  sql: string[];
  /** Besides; what it gives back is called after the judgement. */
  also?: (database: TestDatabase) => Promise<() => Promise<void>>;
  /** The daemon is this user instead of the superuser. */
  role?: string;
  target?: Partial<PreflightTarget>;
  keyless?: boolean;
  /** What else is found, and stays. */
  besides?: string[];
  /** Removes what is not inside the database. */
  undo?: string[];
}

export const SLOT = "doctor_slot";
const makeSlot = (plugin = "pgoutput") => `SELECT pg_create_logical_replication_slot('${SLOT}', '${plugin}')`;
export const DROP_SLOT = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${SLOT}'`;
const KEYED = 'CREATE TABLE "T" (id int PRIMARY KEY, note text)';
const LARGE = `INSERT INTO "T" SELECT g, string_agg(md5(g::text || i), '') FROM generate_series(1, 3) g, generate_series(1, 400) i GROUP BY g`;
const LEAST = `CREATE ROLE "cdc ""role'" LOGIN REPLICATION PASSWORD 'x'`;
const NO_ROLE = [`DROP OWNED BY "cdc ""role'"`, `DROP ROLE "cdc ""role'"`];
const as = (publication: string) => `CREATE PUBLICATION p FOR TABLE ${publication}`;
const reset = (setting: string) => [`ALTER SYSTEM RESET ${setting}`, "SELECT pg_reload_conf()"];

/** What leaves the database as it was made. */
export const EMPTY = [
  "DROP PUBLICATION IF EXISTS p",
  'DROP SCHEMA IF EXISTS public, "S" CASCADE',
  "CREATE SCHEMA public",
  "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()); END $$",
];

export const BROKEN: Record<string, Broken> = {
  "a table without any key": { code: "TABLE_WITHOUT_IDENTITY", sql: [`CREATE TABLE "odd."" t" (note text)`] },
  "a table with no more than a unique index": {
    code: "TABLE_WITHOUT_IDENTITY",
    sql: ["CREATE TABLE t (a int NOT NULL)", 'CREATE UNIQUE INDEX "Unique a" ON t (a)'],
  },
  "REPLICA IDENTITY NOTHING": {
    code: "TABLE_WITHOUT_IDENTITY",
    sql: [KEYED, 'ALTER TABLE "T" REPLICA IDENTITY NOTHING'],
  },
  "a deferrable key": { code: "KEY_DEFERRABLE", sql: ["CREATE TABLE t (b int, a int, PRIMARY KEY (a, b) DEFERRABLE)"] },
  "a generated column in the identity": {
    code: "GENERATED_IDENTITY",
    sql: [
      "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
      "ALTER TABLE t REPLICA IDENTITY FULL",
    ],
    besides: ["GENERATED_COLUMNS"],
  },
  "a generated column that is not sent": {
    code: "GENERATED_COLUMNS",
    severity: "note",
    sql: ["CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)", as("t")],
  },
  "an unlogged table": {
    code: "TABLE_UNLOGGED",
    severity: "warning",
    sql: ["CREATE UNLOGGED TABLE t (id int PRIMARY KEY)"],
    besides: ["TABLES_MATCH_NOTHING"],
  },
  "large values under the default identity": { code: "TOAST_UNCHANGED", severity: "note", sql: [KEYED, LARGE] },
  "a partition of a table that the publication lacks": {
    code: "TABLE_NOT_PUBLISHED",
    severity: "warning",
    sql: [
      KEYED,
      "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)",
      "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
      "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20)",
      as('"T"'),
    ],
  },
  "a publication that sends no deletes": {
    code: "PUBLICATION_OPERATIONS",
    severity: "warning",
    sql: [KEYED, `${as('"T"')} WITH (publish = 'insert, update')`],
  },
  "a publication by way of the root": {
    code: "PUBLICATION_VIA_ROOT",
    severity: "warning",
    sql: [
      "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)",
      "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
      `${as("parted")} WITH (publish_via_partition_root)`,
    ],
  },
  "a column list without the key": {
    code: "COLUMN_LIST_IDENTITY",
    sql: [KEYED, as('"T" (note)')],
    besides: ["COLUMN_LIST"],
  },
  "a row filter on other columns than the key": {
    code: "ROW_FILTER_IDENTITY",
    sql: [KEYED, as(`"T" WHERE (note <> 'x')`)],
    besides: ["ROW_FILTER"],
  },
  "a publication that is gone": {
    code: "PUBLICATION_NOT_ALLOWED",
    sql: [KEYED, LEAST],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a user who may not replicate": {
    code: "REPLICATION_REFUSED",
    sql: [KEYED, as('"T"'), LEAST, `ALTER ROLE "cdc ""role'" NOREPLICATION`],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a user who may not connect": {
    code: "POSTGRES_NOT_AUTHORIZED",
    sql: [
      KEYED,
      as('"T"'),
      LEAST,
      "DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$",
    ],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a user who may not read what a snapshot reads": {
    code: "SNAPSHOT_NOT_ALLOWED",
    sql: [
      'CREATE SCHEMA "S"',
      'CREATE TABLE "S".t (id int PRIMARY KEY)',
      'CREATE TABLE "S".secured (id int PRIMARY KEY)',
      'ALTER TABLE "S".secured ENABLE ROW LEVEL SECURITY',
      as('"S".t, "S".secured'),
      LEAST,
    ],
    role: ROLE,
    target: { readsRows: true },
    undo: NO_ROLE,
  },
  "a user with too few connections": {
    code: "ROLE_CONNECTIONS",
    severity: "warning",
    sql: [KEYED, as('"T"'), LEAST, `ALTER ROLE "cdc ""role'" CONNECTION LIMIT 4`],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a password that expires": {
    code: "ROLE_EXPIRES",
    severity: "warning",
    sql: [
      KEYED,
      as('"T"'),
      LEAST,
      `DO $$ BEGIN EXECUTE format('ALTER ROLE "cdc ""role''" VALID UNTIL %L', now() + interval '3 days'); END $$`,
    ],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a server that never lets go of a silent client": {
    code: "SENDER_TIMEOUT",
    severity: "warning",
    sql: [
      KEYED,
      as('"T"'),
      LEAST,
      `DO $$ BEGIN EXECUTE format('ALTER ROLE "cdc ""role''" IN DATABASE %I SET wal_sender_timeout = 0', current_database()); END $$`,
    ],
    role: ROLE,
    undo: NO_ROLE,
  },
  "a server that lets go too soon": {
    code: "SENDER_TIMEOUT",
    severity: "warning",
    sql: [KEYED, as('"T"'), LEAST, "ALTER SYSTEM SET wal_sender_timeout = '1s'", "SELECT pg_reload_conf()"],
    role: ROLE,
    undo: [...NO_ROLE, ...reset("wal_sender_timeout")],
  },
  "slots that are given up when idle": {
    code: "SLOT_IDLE_TIMEOUT",
    severity: "warning",
    sql: [KEYED, "ALTER SYSTEM SET idle_replication_slot_timeout = '1d'", "SELECT pg_reload_conf()"],
    undo: reset("idle_replication_slot_timeout"),
  },
  "slots without a bound": {
    code: "SLOT_WAL_UNBOUNDED",
    severity: "note",
    sql: [KEYED],
    undo: reset("max_slot_wal_keep_size"),
  },
  "slots that may keep next to nothing": {
    code: "SLOT_WAL_SHORT",
    severity: "warning",
    sql: [KEYED, "ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'", "SELECT pg_reload_conf()"],
    undo: reset("max_slot_wal_keep_size"),
  },
  "a slot that is about to be given up": {
    code: "SLOT_ENDANGERED",
    severity: "warning",
    sql: [
      KEYED,
      as('"T"'),
      makeSlot(),
      "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'",
      "SELECT pg_reload_conf()",
      ...Array(4).fill("SELECT pg_logical_emit_message(false, 'doctor', 'x'), pg_switch_wal()"),
    ],
    besides: ["SLOT_WAL_SHORT"],
    undo: [DROP_SLOT, ...reset("max_slot_wal_keep_size")],
  },
  "a slot for something else": {
    code: "SLOT_FOREIGN",
    sql: [KEYED, makeSlot("test_decoding")],
  },
  "somebody else who reads from our slot": {
    code: "SLOT_IN_USE",
    severity: "warning",
    sql: [KEYED, as('"T"'), makeSlot()],
    async also({ url }) {
      const thief = await ReplicationStream.open({ url }, { slot: SLOT, publication: "p" }, "another tool");
      thief.lost.catch(() => undefined); // the remedy ends it
      return () => thief.close();
    },
    undo: [DROP_SLOT],
  },
  "a prepared transaction that making the slot waits for": {
    code: "SLOT_BLOCKED",
    severity: "warning",
    sql: [KEYED, "BEGIN", 'INSERT INTO "T" VALUES (1)', "PREPARE TRANSACTION 'it''s left'"],
  },
  "a session that making the slot waits for": {
    code: "SLOT_BLOCKED",
    severity: "warning",
    sql: [KEYED],
    async also({ url }) {
      const idle = new pg.Client({ connectionString: url });
      idle.on("error", () => undefined); // the remedy ends it
      await idle.connect();
      await idle.query('BEGIN; INSERT INTO "T" VALUES (1)');
      return () => idle.end();
    },
  },
  "a standby that is gone and still waited for": {
    code: "STANDBY_SLOT_STALE",
    severity: "warning",
    sql: [KEYED, "ALTER SYSTEM SET synchronized_standby_slots = 'gone_a, gone_b'", "SELECT pg_reload_conf()"],
    undo: reset("synchronized_standby_slots"),
  },
};
