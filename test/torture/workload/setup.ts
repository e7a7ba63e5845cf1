// The tables that the workload writes, and the patterns with which a daemon captures them.
import { AUDIT_SQL, INSTALL_AUDIT } from "./audit.ts";
import { TYPED_TABLE } from "./typed-table.ts";

/** For AFTERIMAGE_TABLES: everything but the audit, and a table whose writes make WAL without events. */
export const CAPTURED = "*.*,!public.audit,!public.unrelated";

/** For AFTERIMAGE_KEYLESS: its primary key is DEFERRABLE. */
export const KEYLESS = "public.swapped";

/** The table whose column keeps its sum from `seed` on. */
export const CONSTANT_SUM = { table: "public.accounts", column: "balance" } as const;

export const ACCOUNTS = 64;
/** Accounts above the fixed ones come and go; these are their ids. */
export const FLEETING_ACCOUNTS = { from: 1001, to: 1032 } as const;
export const SWAPPED_ROWS = 8;

/** Its name, its columns and what stands in them are as hostile as Postgres allows. */
export const ODD_TABLE = '"odd.schema"."Odd ""name"".t"';

export const TABLES = `
-- REPLICA IDENTITY FULL: transfers keep the sum of the balances.
CREATE TABLE public.accounts (id int PRIMARY KEY, balance bigint NOT NULL, changes int NOT NULL DEFAULT 0);
ALTER TABLE public.accounts REPLICA IDENTITY FULL;

-- Appends of unique elements, each of digits and hyphens.
CREATE TABLE public.lists (id int PRIMARY KEY, elements text[] NOT NULL);
ALTER TABLE public.lists REPLICA IDENTITY FULL;

-- Values out of line that Postgres does not send again when they don't change; under FULL they stand in the old row.
CREATE TABLE public.notes (id int PRIMARY KEY, revision int NOT NULL, body text, extra text);
ALTER TABLE public.notes ALTER body SET STORAGE EXTERNAL, ALTER extra SET STORAGE EXTERNAL;
CREATE TABLE public.pages (id int PRIMARY KEY, revision int NOT NULL, body text, extra text);
ALTER TABLE public.pages ALTER body SET STORAGE EXTERNAL, ALTER extra SET STORAGE EXTERNAL;
ALTER TABLE public.pages REPLICA IDENTITY FULL;

-- 1.0 and 1.00 are one key for Postgres and two texts.
CREATE TABLE public.keyed (tenant int, code text, tier numeric, value text, version int NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant, code, tier));
CREATE TABLE public.indexed (id bigserial PRIMARY KEY, region text NOT NULL, number int NOT NULL, value text);
CREATE UNIQUE INDEX indexed_identity ON public.indexed (number, region);
ALTER TABLE public.indexed REPLICA IDENTITY USING INDEX indexed_identity;

CREATE TABLE public.wiped_a (id int PRIMARY KEY, value text);
CREATE TABLE public.wiped_b (id int PRIMARY KEY, value text);
ALTER TABLE public.wiped_b REPLICA IDENTITY FULL;

CREATE TABLE public.parts (bucket int, id int, value text, PRIMARY KEY (bucket, id)) PARTITION BY RANGE (bucket);
CREATE TABLE public.parts_low PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
ALTER TABLE public.parts_low REPLICA IDENTITY FULL;
CREATE TABLE public."Parts mid" PARTITION OF public.parts FOR VALUES FROM (10) TO (20);
CREATE TABLE public.parts_high PARTITION OF public.parts FOR VALUES FROM (20) TO (30) PARTITION BY LIST (id);
CREATE TABLE public.parts_high_one PARTITION OF public.parts_high FOR VALUES IN (1, 2, 3);
CREATE TABLE public.parts_high_rest PARTITION OF public.parts_high DEFAULT;

CREATE TABLE public.parents (id int PRIMARY KEY, name text);
CREATE TABLE public.children (id bigserial PRIMARY KEY,
  parent_id int NOT NULL REFERENCES public.parents ON DELETE CASCADE ON UPDATE CASCADE, name text);
CREATE INDEX ON public.children (parent_id);
ALTER TABLE public.children REPLICA IDENTITY FULL;
CREATE TABLE public.wards (id bigserial PRIMARY KEY,
  parent_id int REFERENCES public.parents ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, name text);
CREATE INDEX ON public.wards (parent_id);

-- Without a record key: one because its key is deferrable, one because it has none.
CREATE TABLE public.swapped (id int PRIMARY KEY DEFERRABLE, owner text NOT NULL);
ALTER TABLE public.swapped REPLICA IDENTITY FULL;
CREATE TABLE public.heap (a int, b text, c int);
ALTER TABLE public.heap REPLICA IDENTITY FULL;

CREATE SCHEMA "odd.schema";
CREATE TABLE ${ODD_TABLE} ("__proto__" int PRIMARY KEY, "constructor" text, "1" int, "a.b ""q""; --" text, "ключ😀" text);

CREATE TABLE public.bulk (id bigint PRIMARY KEY, note text);
-- The generated column is not published.
CREATE TABLE public.copied (id bigint PRIMARY KEY, label text, amount numeric,
  doubled numeric GENERATED ALWAYS AS (amount * 2) STORED);

-- Only ever written by transactions that are prepared, each on rows of its own: their locks outlive restarts.
CREATE TABLE public.promises (id bigint PRIMARY KEY, note text);

-- Gets and loses columns.
CREATE TABLE public.evolving (id int PRIMARY KEY, value text);

CREATE TABLE public.unrelated (id bigserial, value text);
`;

/** Runs the statements in a subtransaction. One that fails, or `fail`, rolls them back and the transaction goes on. */
const ATTEMPT = `
CREATE FUNCTION public.attempt(statements text[], fail boolean) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  statement text;
BEGIN
  FOREACH statement IN ARRAY statements LOOP
    EXECUTE statement;
  END LOOP;
  IF fail THEN
    RAISE EXCEPTION 'changed my mind';
  END IF;
EXCEPTION WHEN raise_exception OR unique_violation THEN
  NULL;
END
$body$;
`;

// What an owner may set for a database, and what the text of values must not depend on.
const HOSTILE_SETTINGS = `
DO $body$
DECLARE
  setting text;
BEGIN
  FOREACH setting IN ARRAY ARRAY['datestyle = ''German''', 'intervalstyle = ''iso_8601''', 'bytea_output = ''escape''',
      'extra_float_digits = 0', 'timezone = ''Asia/Kolkata''', 'xmlbinary = ''hex'''] LOOP
    EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
  END LOOP;
END
$body$;
`;

export interface SetupOptions {
  /** Gives the database settings under which other sessions print values differently; true by default. */
  readonly hostileSettings?: boolean;
}

/** One text of statements for a fresh database. Sessions opened before it keep their settings. */
export function setupSql({ hostileSettings = true }: SetupOptions = {}): string {
  return [TABLES, TYPED_TABLE, ATTEMPT, AUDIT_SQL, INSTALL_AUDIT, hostileSettings ? HOSTILE_SETTINGS : ""].join("\n");
}

/** The rows that stand there from the beginning, in one transaction: run it when the daemon streams. */
export const SEED_SQL = `
BEGIN;
INSERT INTO public.accounts (id, balance) SELECT id, 1000 FROM generate_series(1, ${ACCOUNTS}) id;
INSERT INTO public.swapped SELECT id, 'owner ' || id FROM generate_series(1, ${SWAPPED_ROWS}) id;
INSERT INTO public.parents SELECT id, 'parent ' || id FROM generate_series(1, 10) id;
COMMIT;
`;

export const SEEDED_SUM = BigInt(ACCOUNTS) * 1000n;
