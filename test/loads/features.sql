-- What tables and statements can be like. Paragraphs run one after the other, each as one simple query; one that begins
-- with "-- refused" has to fail.

CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TYPE spot AS (x int, y numeric, note text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN small_positive AS positive CHECK (VALUE < 1000);
CREATE DOMAIN postcode AS text CHECK (VALUE ~ '^[0-9]{4} ?[A-Z]{2}$');
CREATE TYPE span AS RANGE (subtype = float8, multirange_type_name = spans);

CREATE TABLE everything (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  b boolean, i2 smallint, i4 int, i8 bigint, n numeric, n2 numeric(12,3), f4 real, f8 float8, m money,
  t text, vc varchar(20), c char(8), "c1" "char", nm name, by bytea, u uuid,
  d date, ti time(3), tz timetz, ts timestamp, tsz timestamptz, iv interval,
  bi bit(5), vb varbit, ip inet, net cidr, mac macaddr, mac8 macaddr8,
  pt point, ln line, sg lseg, bx box, pa path, po polygon, ci circle,
  js json, jb jsonb, jp jsonpath, x xml, tv tsvector, tq tsquery,
  r4 int4range, rn numrange, rd daterange, rt tstzrange, mr int8multirange, sp span, sps spans,
  co colour, cos colour[], st spot, sts spot[], dp positive, dsp small_positive, pc postcode,
  a4 int[], at text[], a2 int[][], an numeric[], aj jsonb[],
  o oid, rc regclass, rty regtype, ls pg_lsn, xi xid8, tid tid);

INSERT INTO everything (b, i2, i4, i8, n, n2, f4, f8, m, t, vc, c, "c1", nm, by, u, d, ti, tz, ts, tsz, iv, bi, vb, ip, net, mac, mac8,
  pt, ln, sg, bx, pa, po, ci, js, jb, jp, x, tv, tq, r4, rn, rd, rt, mr, sp, sps, co, cos, st, sts, dp, dsp, pc, a4, at, a2, an, aj, o, rc, rty, ls, xi, tid)
VALUES (true, -32768, 2147483647, -9223372036854775808, 'NaN', -123456789.125, 'Infinity', '-0', '-$1,234.56', E'line\nbreak\ttab "quote" \\ ü 漢字 🙂', 'x', 'pad', 'q',
  'aName', '\x00ff10', '00000000-0000-0000-0000-000000000001', '4713-01-01 BC', '24:00', '12:34:56.789+05:30', 'infinity', '2024-02-29 23:59:59.999999+02',
  '1 year -2 mons +3 days -04:05:06.789', B'10101', B'', '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
  '(1e-300,2)', '{1,2,3}', '[(0,0),(1,1)]', '((1,2),(3,4))', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>',
  '{"b" : 1, "a":[1, 2 ],"a":null}', '{"b": 1.0, "a": [1, 2], "e": "\u00e9"}', '$.a[*] ? (@ > 1)', '<a b="c">t</a>', to_tsvector('simple', 'the quick brown fox''s'), 'fox & !cat:*',
  '(1,5]', 'empty', '[2020-01-01,)', '(,infinity]', '{[1,3),[5,9)}', '[1.5,2.5)', '{[1,2),[3,4)}', 'green', '{red,NULL,blue}', ROW(1, 2.50, 'a "b", (c)'), ARRAY[ROW(1, NULL, '')::spot, NULL],
  5, 999, '1234 AB', '{1,NULL,3}', ARRAY['a,b', 'NULL', '', 'q"\'], '[2:3][0:1]={{1,2},{3,4}}', '{1.10,NaN}', ARRAY['{"k": 1}'::jsonb], 4294967295, 'pg_catalog.pg_class', 'int4[]', '16/B374D848', '18446744073709551615', '(1,2)');

INSERT INTO everything DEFAULT VALUES;
INSERT INTO everything (n, f8, f4, iv, ts, d, tsz) SELECT v::numeric / 7, v::float8 / 3, (v::float8 / 3)::real, make_interval(secs => v * 1.000001), 'epoch'::timestamp + make_interval(secs => v), 'epoch'::date + (v % 100000)::int, '-infinity' FROM unnest(ARRAY[0, 1, -1, 99999999, 123456]) v;
INSERT INTO everything (n, f8, f4) VALUES ('Infinity', 1e308, 1e-45), ('-Infinity', 5e-324, 3.4028235e38), (1e400::numeric, 'NaN', 'NaN'), (0.000, 0.1, 0.1), (1.1000, 1e21, 1e21), (12e30, 123456789012345678, 16777216);
UPDATE everything SET t = repeat('ausgelagert ', 4000), by = decode(repeat('ab', 9000), 'hex') WHERE id <= 3;

UPDATE everything SET i4 = coalesce(i4, 0) - 1 WHERE id <= 3;
UPDATE everything SET cos = cos || 'green'::colour, st.note = 'changed', a4[7] = 7, jb = jsonb_set(coalesce(jb, '{}'), '{z}', '[]'), b = NOT b;

CREATE TABLE people (name text NOT NULL, age int, home point);
ALTER TABLE people REPLICA IDENTITY FULL;
CREATE TABLE employees (salary numeric, boss text) INHERITS (people);
ALTER TABLE employees REPLICA IDENTITY FULL;
CREATE TABLE students (grade real, PRIMARY KEY (name)) INHERITS (people);
CREATE TABLE tutors (hours int, PRIMARY KEY (name)) INHERITS (students, employees);

INSERT INTO people SELECT 'p' || g, g FROM generate_series(1, 20) g;
INSERT INTO employees SELECT 'e' || g, g, NULL, g * 100, 'p1' FROM generate_series(1, 20) g;
INSERT INTO students SELECT 's' || g, g, point(g, g), g / 3.0 FROM generate_series(1, 20) g;
INSERT INTO tutors (name, age, grade, salary, hours) SELECT 't' || g, g, 1, g, g FROM generate_series(1, 20) g;
UPDATE people SET age = age + 1 WHERE age % 2 = 0;
DELETE FROM people WHERE age = 9;
UPDATE ONLY people SET name = 'P' || age WHERE age > 15;
INSERT INTO people SELECT * FROM ONLY people WHERE age < 5;
ALTER TABLE people ADD motto text;
UPDATE students SET motto = 'm' || name WHERE age < 10;
ALTER TABLE employees NO INHERIT people;
ALTER TABLE people ADD bonus int DEFAULT 7;

CREATE TABLE measures (at date, place int, value numeric, extra text, PRIMARY KEY (place, at)) PARTITION BY LIST (place);
CREATE TABLE measures_1 PARTITION OF measures FOR VALUES IN (1) PARTITION BY RANGE (at);
CREATE TABLE measures_1_old PARTITION OF measures_1 FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE measures_1_new PARTITION OF measures_1 FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
CREATE TABLE measures_23 PARTITION OF measures FOR VALUES IN (2, 3) PARTITION BY HASH (at);
CREATE TABLE measures_23_0 PARTITION OF measures_23 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE measures_23_1 PARTITION OF measures_23 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE measures_rest PARTITION OF measures DEFAULT;

INSERT INTO measures SELECT '2016-06-01'::date + g * 20, g % 5, g / 3.0, repeat('x', g % 50) FROM generate_series(1, 120) g;
UPDATE measures SET at = at + 407 WHERE value < 10;
UPDATE measures SET place = place + 1 WHERE place < 4 AND value > 25;
DELETE FROM measures WHERE place = 4 AND value < 5;

ALTER TABLE measures DETACH PARTITION measures_rest;
DELETE FROM measures_rest WHERE place = 0;
INSERT INTO measures_rest SELECT '2001-01-01', 7, 7, 'while detached';
ALTER TABLE measures ATTACH PARTITION measures_rest DEFAULT;
INSERT INTO measures VALUES ('2001-01-02', 7, 8, 'after');

CREATE TABLE measures_9 (extra text, value numeric, place int NOT NULL, at date NOT NULL);
ALTER TABLE measures_9 ADD PRIMARY KEY (place, at);
INSERT INTO measures_9 SELECT 'other order', g, 9, '2010-01-01'::date + g FROM generate_series(1, 30) g;
ALTER TABLE measures ATTACH PARTITION measures_9 FOR VALUES IN (9);
UPDATE measures SET place = 2 WHERE place = 9 AND value < 10;
UPDATE measures SET place = 9 WHERE place = 1 AND at > '2020-06-01';
TRUNCATE measures_23_1;

CREATE TABLE audit (id bigserial PRIMARY KEY, tbl text, op text, old jsonb, new jsonb);
CREATE TABLE accounts (no int PRIMARY KEY, owner text NOT NULL, balance numeric(14,2) NOT NULL DEFAULT 0 CHECK (balance >= 0), changed timestamptz, search tsvector);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit (tbl, op, old, new) VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW));
  RETURN NULL;
END $$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.owner = 'nobody' THEN RETURN NULL; END IF;
  NEW.changed := clock_timestamp();
  NEW.search := to_tsvector('simple', NEW.owner);
  RETURN NEW;
END $$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch();

INSERT INTO accounts (no, owner, balance) SELECT g, 'owner ' || g % 7, g * 10 FROM generate_series(1, 60) g;
INSERT INTO accounts (no, owner) VALUES (100, 'nobody');
INSERT INTO accounts (no, owner, balance) VALUES (1, 'taken', 5), (61, 'fresh', 5) ON CONFLICT (no) DO UPDATE SET balance = accounts.balance + EXCLUDED.balance WHERE accounts.no < 10;
INSERT INTO accounts (no, owner) VALUES (2, 'x') ON CONFLICT DO NOTHING;
MERGE INTO accounts a USING (SELECT g AS no, g * 3 AS amount FROM generate_series(50, 70) g) s ON a.no = s.no
  WHEN MATCHED AND s.no % 3 = 0 THEN DELETE
  WHEN MATCHED THEN UPDATE SET balance = a.balance + s.amount
  WHEN NOT MATCHED AND s.no > 65 THEN INSERT (no, owner, balance) VALUES (s.no, 'merged', s.amount);
WITH gone AS (DELETE FROM accounts WHERE no BETWEEN 5 AND 8 RETURNING *), back AS (INSERT INTO accounts SELECT no + 1000, owner, balance FROM gone RETURNING no)
  UPDATE accounts SET balance = balance + 1 WHERE no IN (SELECT no - 999 FROM back);

-- refused
UPDATE accounts SET balance = -1 WHERE no = 1;

DO $$
BEGIN
  FOR each IN 1..20 LOOP
    BEGIN
      UPDATE accounts SET balance = balance - each * 9 WHERE no = each;
      IF each % 4 = 0 THEN RAISE EXCEPTION 'not this one'; END IF;
    EXCEPTION WHEN check_violation OR raise_exception THEN
      INSERT INTO audit (tbl, op) VALUES ('accounts', 'failed ' || each);
    END;
  END LOOP;
END $$;

CREATE PROCEDURE in_parts() LANGUAGE plpgsql AS $$
BEGIN
  FOR each IN 1..6 LOOP
    INSERT INTO audit (tbl, op) VALUES ('part', each::text);
    IF each % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
END $$;

CALL in_parts();

BEGIN;
UPDATE accounts SET owner = 'kept' WHERE no = 20;
SAVEPOINT a;
DELETE FROM accounts WHERE no > 20;
SAVEPOINT b;
TRUNCATE audit;
ROLLBACK TO a;
INSERT INTO accounts (no, owner) VALUES (500, 'after savepoint');
RELEASE a;
UPDATE accounts SET no = no + 5000 WHERE no BETWEEN 30 AND 35;
COMMIT;

CREATE TABLE parents (id int PRIMARY KEY, name text UNIQUE);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE, name text REFERENCES parents (name) ON DELETE SET NULL ON UPDATE SET NULL, nick text DEFAULT 'none');
CREATE TABLE grandchildren (parent int, child int REFERENCES children ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED, no int, PRIMARY KEY (parent, no), FOREIGN KEY (parent) REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO parents SELECT g, 'n' || g FROM generate_series(1, 12) g;
INSERT INTO children SELECT g, 1 + g % 12, 'n' || (1 + g % 12) FROM generate_series(1, 60) g;
INSERT INTO grandchildren SELECT 1 + g % 12, g % 60 + 1, g FROM generate_series(1, 90) g;
UPDATE parents SET id = id + 100 WHERE id < 4;
UPDATE parents SET name = upper(name) WHERE id = 5;
DELETE FROM parents WHERE id IN (6, 101);
DELETE FROM children WHERE id % 10 = 0;

BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO grandchildren VALUES (7, 900, 1000);
INSERT INTO children VALUES (900, 7);
COMMIT;

CREATE TABLE log_of_truncate (id int PRIMARY KEY, parent int REFERENCES parents);
INSERT INTO log_of_truncate VALUES (1, 102);
TRUNCATE parents CASCADE;
INSERT INTO parents VALUES (1, 'again');

CREATE TABLE bookings (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, room int, during tsrange, EXCLUDE USING gist (during WITH &&) WHERE (room = 1));
INSERT INTO bookings (room, during) SELECT 1, tsrange('2024-01-01'::timestamp + make_interval(days => g), '2024-01-01'::timestamp + make_interval(days => g + 1)) FROM generate_series(1, 10) g;
UPDATE bookings SET during = tsrange(lower(during) + interval '1 hour', upper(during)) WHERE id % 2 = 0;

-- refused
INSERT INTO bookings (room, during) VALUES (1, '[2024-01-03,2024-01-20)');

CREATE TABLE computed (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
INSERT INTO computed (id, a, b) SELECT g, g, 'b' || g FROM generate_series(1, 30) g;
UPDATE computed SET a = a + 1 WHERE id % 3 = 0;
ALTER TABLE computed ALTER twice DROP EXPRESSION;
UPDATE computed SET twice = 0 WHERE id = 4;

CREATE TABLE rule_target (id int PRIMARY KEY, v text);
CREATE TABLE rule_log (at int, v text);
ALTER TABLE rule_log REPLICA IDENTITY FULL;
CREATE RULE logged AS ON UPDATE TO rule_target DO ALSO INSERT INTO rule_log VALUES (OLD.id, NEW.v);
CREATE RULE kept AS ON DELETE TO rule_target WHERE OLD.id > 5 DO INSTEAD UPDATE rule_target SET v = 'kept' WHERE id = OLD.id;
INSERT INTO rule_target SELECT g, 'v' || g FROM generate_series(1, 10) g;
UPDATE rule_target SET v = v || '!' WHERE id < 4;
DELETE FROM rule_target;
CREATE VIEW seen AS SELECT id, v FROM rule_target WHERE id < 100 WITH CHECK OPTION;
INSERT INTO seen VALUES (50, 'by a view');
UPDATE seen SET id = 51 WHERE id = 50;

-- refused
INSERT INTO seen VALUES (500, 'outside');

CREATE FUNCTION into_view() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO rule_log VALUES (NEW.at, 'instead'); RETURN NEW; END $$;
CREATE VIEW log_view AS SELECT * FROM rule_log;
CREATE TRIGGER instead INSTEAD OF INSERT ON log_view FOR EACH ROW EXECUTE FUNCTION into_view();
INSERT INTO log_view VALUES (1), (2);
CREATE TEMP TABLE passing AS SELECT * FROM rule_log;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
INSERT INTO unlogged SELECT generate_series(1, 10);
CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM accounts;
REFRESH MATERIALIZED VIEW summary;
CREATE TABLE copied (a int PRIMARY KEY, b text, c numeric DEFAULT 1.50);

COPY copied (a, b) FROM PROGRAM 'printf "1\tone\n2\t\\\\N\n3\ttab\\\\tand \\\\\\\\ back\n"';
COPY copied FROM PROGRAM 'printf "4,\"a \"\"quoted\"\" one\",2.50\n5,,\n"' (FORMAT csv);
ALTER TABLE unlogged SET LOGGED;
INSERT INTO unlogged VALUES (11);

CREATE TABLE storm (id int PRIMARY KEY, a text, b int, c colour DEFAULT 'red');
INSERT INTO storm SELECT g, 'a' || g, g FROM generate_series(1, 40) g;

BEGIN;
ALTER TABLE storm ADD d numeric DEFAULT 4.20;
UPDATE storm SET d = d + id WHERE id < 10;
ALTER TABLE storm RENAME a TO letters;
INSERT INTO storm (id, letters) VALUES (41, 'renamed');
ALTER TABLE storm DROP b;
UPDATE storm SET letters = upper(letters) WHERE id > 30;
ALTER TABLE storm ADD b text;
UPDATE storm SET b = 'text now' WHERE id = 2;
ALTER TABLE storm ALTER d TYPE text USING d || ' eur';
INSERT INTO storm VALUES (42, 'last', 'blue', '1 eur', 'b');
COMMIT;

ALTER TYPE colour ADD VALUE 'amber' BEFORE 'green';

UPDATE storm SET c = 'amber' WHERE id % 5 = 0;
ALTER TYPE colour RENAME VALUE 'red' TO 'crimson';

ALTER TABLE storm ALTER id TYPE bigint;
UPDATE storm SET id = id + 10000000000 WHERE id = 7;
ALTER TABLE storm DROP CONSTRAINT storm_pkey;
ALTER TABLE storm ADD PRIMARY KEY (letters);
UPDATE storm SET letters = 'another key' WHERE id = 8;
ALTER TABLE storm RENAME letters TO label;

CREATE SCHEMA elsewhere;
ALTER TABLE copied SET SCHEMA elsewhere;
INSERT INTO elsewhere.copied VALUES (6, 'moved');
ALTER TABLE elsewhere.copied RENAME TO "Moved Table";
DELETE FROM elsewhere."Moved Table" WHERE a = 1;

CREATE TABLE swap_a (id int PRIMARY KEY, v text);
CREATE TABLE swap_b (id int PRIMARY KEY, v text);
INSERT INTO swap_a SELECT g, 'a' FROM generate_series(1, 9) g;
INSERT INTO swap_b SELECT g, 'b' FROM generate_series(5, 15) g;

BEGIN;
ALTER TABLE swap_a RENAME TO swap_c;
ALTER TABLE swap_b RENAME TO swap_a;
ALTER TABLE swap_c RENAME TO swap_b;
INSERT INTO swap_a VALUES (100, 'into the new a');
COMMIT;

CREATE TABLE short_lived AS SELECT g AS id FROM generate_series(1, 50) g;
DROP TABLE short_lived;
CREATE TABLE short_lived (id int PRIMARY KEY, v text);
INSERT INTO short_lived VALUES (1, 'second');

ALTER TYPE spot ADD ATTRIBUTE z int;
UPDATE everything SET st.z = 3 WHERE id = 1;
CLUSTER everything USING everything_pkey;

CREATE TABLE no_columns_left (a int);
ALTER TABLE no_columns_left REPLICA IDENTITY FULL;
INSERT INTO no_columns_left SELECT g FROM generate_series(1, 3) g;
ALTER TABLE no_columns_left ADD b text;
UPDATE no_columns_left SET b = 'x' WHERE a = 1;
DELETE FROM no_columns_left WHERE a = 2;

CREATE TABLE renamed (id int PRIMARY KEY, former text, other int);
INSERT INTO renamed SELECT g, 'v' || g, g FROM generate_series(1, 10) g;

ALTER TABLE renamed RENAME former TO latter;
UPDATE renamed SET other = 0 WHERE id = 3;
