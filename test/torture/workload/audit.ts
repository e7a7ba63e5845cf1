// The audit: AFTER triggers that write every change of the captured tables into a table of its own, inside the
// transaction that makes the change. What rolls back leaves nothing in it.

/**
 * The settings that a value's text depends on, as src/source/session-settings.ts pins them. They are repeated here on
 * purpose: the oracle must not change when the product does.
 */
export const TEXT_SETTINGS = {
  datestyle: "ISO",
  intervalstyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "3",
  timezone: "UTC",
  lc_monetary: "C",
  xmlbinary: "base64",
  search_path: "",
} as const;

const SET_CLAUSES = Object.entries(TEXT_SETTINGS)
  .map(([name, value]) => `SET ${name} = ''${value}''`)
  .join(" ");

/**
 * Row triggers of a statement run in the order of its changes, and those of a cascade are queued behind them all, so
 * the ordinals stand in the order of the WAL also when one statement deletes several parents. The name sorts before
 * `RI_ConstraintTrigger…`, though the order doesn't hang on that.
 * https://www.postgresql.org/docs/current/trigger-definition.html
 */
const TRIGGER = "A_audit";

/**
 * SQL that makes the audit table and `public.audit_install(regclass)`, which gives a table its triggers, and gives them
 * anew after its columns changed (in the same transaction, or the audit would miss them).
 *
 * Every table has a function of its own, since only that can name its columns. A value's text is what the type's output
 * function prints, called by its name: a cast to text is another function for boolean, char(n) and inet.
 */
export const AUDIT_SQL = `
CREATE SEQUENCE public.audit_ordinal;

CREATE TABLE public.audit (
  ordinal bigint PRIMARY KEY,
  xid xid8 NOT NULL,
  relation text NOT NULL,
  operation text NOT NULL,
  old json,
  new json
);

-- quote_ident leaves keywords of PL/pgSQL as they are.
CREATE FUNCTION public.audit_quoted(name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = '' AS $body$
  SELECT '"' || replace(name, '"', '""') || '"'
$body$;

-- As events name tables.
CREATE FUNCTION public.audit_label(captured oid) RETURNS text LANGUAGE sql STABLE SET search_path = '' AS $body$
  SELECT string_agg(CASE WHEN part COLLATE "C" ~ '^[a-z_][a-z0-9_$]*$' THEN part ELSE public.audit_quoted(part) END, '.'
           ORDER BY place)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         unnest(ARRAY[n.nspname, c.relname]::text[]) WITH ORDINALITY AS parts(part, place)
   WHERE c.oid = captured
$body$;

CREATE FUNCTION public.audit_install(captured regclass) RETURNS void LANGUAGE plpgsql SET search_path = '' AS $body$
DECLARE
  names text;
  olds text;
  news text;
  audit_function text := 'public.' || quote_ident('audit_' || captured::oid);
BEGIN
  SELECT string_agg(quote_literal(a.attname), ', ' ORDER BY a.attnum),
         string_agg(format('%s(OLD.%s)::text', t.typoutput, public.audit_quoted(a.attname)), ', ' ORDER BY a.attnum),
         string_agg(format('%s(NEW.%s)::text', t.typoutput, public.audit_quoted(a.attname)), ', ' ORDER BY a.attnum)
    INTO names, olds, news
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
   WHERE a.attrelid = captured AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
  EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql ${SET_CLAUSES} AS %L',
    audit_function, format($function$
DECLARE
  old_row json;
  new_row json;
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    old_row := json_object(ARRAY[%1$s], ARRAY[%2$s]::text[]);
  END IF;
  IF TG_OP IN ('UPDATE', 'INSERT') THEN
    new_row := json_object(ARRAY[%1$s], ARRAY[%3$s]::text[]);
  END IF;
  INSERT INTO public.audit (ordinal, xid, relation, operation, old, new)
  VALUES (nextval('public.audit_ordinal'), pg_current_xact_id(), %4$L, lower(TG_OP), old_row, new_row);
  RETURN NULL;
END
$function$, names, olds, news, public.audit_label(captured)));
  EXECUTE format(
    'CREATE OR REPLACE TRIGGER "${TRIGGER}" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s()',
    captured, audit_function);
  EXECUTE format(
    'CREATE OR REPLACE TRIGGER "${TRIGGER}_truncate" AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()',
    captured, audit_function);
END
$body$;
`;

/** Gives every ordinary table (partitions among them, never a partitioned parent) its triggers; but for those two. */
export const INSTALL_AUDIT = `
SELECT public.audit_install(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
   AND c.oid NOT IN ('public.audit'::regclass, 'public.unrelated'::regclass);
`;
