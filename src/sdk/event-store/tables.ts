// The event store's tables, and the triggers with which the database itself numbers events and refuses to change them.
import { quoteIdentifier } from "../../event/identifier.ts";

/** SQLSTATEs that the functions below raise; the class is in no use by Postgres. */
export const CONFLICT = "AI001";
export const APPEND_ONLY = "AI002";
export const ISOLATION = "AI003";

/** Made last by `setUp`, so that it stands for the rest. */
export const LAST_TABLE = "event_snapshots";

/** Advisory locks are of the whole database; with the table's OID in it each store has one of its own. */
const LOCK_BASE = 7_160_000_000_000_000_000n;

// Whoever inserts takes the lock and keeps it until its transaction has ended; a statement that begins afterwards sees what
// that one committed. So positions are given in the order of commits, none is missing after a rollback, and nobody can read
// position 8 before 7 is there to be read. A sequence would give neither. Each query of a volatile function in a read
// committed transaction sees what is committed when it begins, and the rows that its own statement has inserted:
// https://www.postgresql.org/docs/current/trigger-datachanges.html
export function tablesSql(schema: string): string {
  const s = quoteIdentifier(schema);
  return `
    CREATE TABLE ${s}.events (
      position bigint PRIMARY KEY,
      stream text COLLATE "C" NOT NULL CHECK (stream <> ''),
      version bigint NOT NULL,
      type text NOT NULL CHECK (type <> ''),
      type_version integer NOT NULL DEFAULT 1 CHECK (type_version > 0),
      data json NOT NULL,
      "time" timestamptz NOT NULL,
      UNIQUE (stream, version)
    );

    CREATE FUNCTION ${s}.lock_events() RETURNS void LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'events are appended in read committed transactions only' USING ERRCODE = '${ISOLATION}';
      END IF;
      PERFORM pg_catalog.pg_advisory_xact_lock(${LOCK_BASE} + '${s.replaceAll("'", "''")}.events'::pg_catalog.regclass::pg_catalog.oid::bigint);
    END $$;

    CREATE FUNCTION ${s}.number_event() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    DECLARE
      last record;
    BEGIN
      PERFORM ${s}.lock_events();
      SELECT position, "time" INTO last FROM ${s}.events ORDER BY position DESC LIMIT 1;
      NEW.position := COALESCE(last.position, 0) + 1;
      NEW."time" := GREATEST(pg_catalog.clock_timestamp(), last."time");
      SELECT COALESCE(max(version), 0) + 1 INTO NEW.version FROM ${s}.events WHERE stream = NEW.stream;
      RETURN NEW;
    END $$;
    CREATE TRIGGER number BEFORE INSERT ON ${s}.events FOR EACH ROW EXECUTE FUNCTION ${s}.number_event();
    ALTER TABLE ${s}.events ENABLE ALWAYS TRIGGER number;

    CREATE FUNCTION ${s}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'events are append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = '${APPEND_ONLY}', HINT = 'Append an event that takes the other one back.';
    END $$;
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ${s}.events
      FOR EACH STATEMENT EXECUTE FUNCTION ${s}.refuse_change();
    ALTER TABLE ${s}.events ENABLE ALWAYS TRIGGER append_only;

    CREATE FUNCTION ${s}.append_events(into_stream text, expected bigint, types text[], type_versions integer[], datas text[])
    RETURNS TABLE ("position" bigint, version bigint, "time" timestamptz) LANGUAGE plpgsql SET search_path = '' AS $$
    #variable_conflict use_column
    DECLARE
      actual bigint;
    BEGIN
      PERFORM ${s}.lock_events();
      IF pg_catalog.current_setting('synchronous_commit') = 'off' THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
      END IF;
      SELECT COALESCE(max(e.version), 0) INTO actual FROM ${s}.events e WHERE e.stream = into_stream;
      IF expected <> actual THEN
        RAISE EXCEPTION 'the stream is at another version' USING ERRCODE = '${CONFLICT}', DETAIL = actual;
      END IF;
      RETURN QUERY
        INSERT INTO ${s}.events AS e (stream, type, type_version, data)
        SELECT into_stream, u.type, u.type_version, u.data::json
        FROM unnest(types, type_versions, datas) WITH ORDINALITY AS u (type, type_version, data, nth)
        ORDER BY u.nth
        RETURNING e.position, e.version, e."time";
    END $$;

    CREATE TABLE ${s}.${LAST_TABLE} (
      stream text COLLATE "C" NOT NULL,
      aggregate text COLLATE "C" NOT NULL,
      aggregate_version integer NOT NULL,
      version bigint NOT NULL,
      state json NOT NULL,
      PRIMARY KEY (stream, aggregate, aggregate_version, version)
    );`;
}
