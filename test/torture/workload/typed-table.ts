// A table with a column of every kind of type, and values at the edges of each.

interface TypedColumn {
  readonly name: string;
  readonly type: string;
  /** SQL expressions of the type. */
  readonly values: readonly string[];
}

const texts = (type: string, ...values: string[]): string[] => values.map((value) => `'${value}'::${type}`);

export const TYPED_COLUMNS: readonly TypedColumn[] = [
  { name: "b", type: "boolean", values: ["true", "false"] },
  { name: "i2", type: "int2", values: ["-32768", "0", "32767"] },
  { name: "i4", type: "int4", values: ["-2147483648", "0", "2147483647"] },
  { name: "i8", type: "int8", values: ["-9223372036854775808", "9007199254740993", "9223372036854775807"] },
  { name: "o", type: "oid", values: ["0", "3000000000", "4294967295"] },
  {
    name: "f4",
    type: "float4",
    values: texts("float4", "NaN", "Infinity", "-Infinity", "-0", "0.1", "1e-7", "3.4028235e38", "1e-45", "16777216"),
  },
  {
    name: "f8",
    type: "float8",
    values: [
      ...texts("float8", "NaN", "Infinity", "-Infinity", "-0", "0.1", "1e-7", "1e15", "123456789012345680", "1e23"),
      ...texts("float8", "1.7976931348623157e308", "5e-324", "0.30000000000000004", "-2.5e-300"),
    ],
  },
  {
    name: "n",
    type: "numeric",
    values: [...texts("numeric", "NaN", "Infinity", "0", "1.0", "1.00", "-0.00", "9007199254740993"), "1e500::numeric"],
  },
  { name: "n2", type: "numeric(12,2)", values: ["0", "-0.005", "9999999999.99"] },
  { name: "m", type: "money", values: ["'-92233720368547758.08'::numeric::money", "12.34::money"] },
  {
    name: "t",
    type: "text",
    values: [
      "''",
      "'NULL'",
      "E'line\\r\\nbreak\\ttab'",
      "'漢字 😀 é'",
      "E'\\x1b[31mred'",
      "'{\"a\":1}'",
      "'\\u0000'",
      "U&'\\2028'",
    ],
  },
  { name: "v", type: "varchar(20)", values: ["'trailing  '", "'x'"] },
  { name: "c", type: "char(5)", values: ["'ab'", "''", "'abcde'"] },
  { name: "q", type: '"char"', values: ["'a'", "''"] },
  { name: "by", type: "bytea", values: ["''", "'\\x00ff5c27'", "decode('deadbeef', 'hex')"] },
  {
    name: "d",
    type: "date",
    values: texts("date", "infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2024-02-29"),
  },
  { name: "ti", type: "time", values: texts("time", "24:00:00", "00:00:00.000001") },
  { name: "tt", type: "timetz", values: texts("timetz", "24:00:00-15:59", "00:00:00+00") },
  {
    name: "ts",
    type: "timestamp",
    values: texts(
      "timestamp",
      "infinity",
      "4714-11-24 00:00:00 BC",
      "294276-12-31 23:59:59.999999",
      "2024-01-01 00:00:00.1",
    ),
  },
  {
    name: "tz",
    type: "timestamptz",
    values: texts("timestamptz", "infinity", "-infinity", "2024-03-31 01:30:00+00", "294276-12-31 23:59:59.999999+00"),
  },
  {
    name: "iv",
    type: "interval",
    values: texts("interval", "178000000 years", "-1 year 2 mons -3 days 04:05:06.789", "0", "1 day"),
  },
  { name: "j", type: "json", values: texts("json", '{"b":1, "a" : 1, "a":2}', "null", '"\\u0000"', "[1e400]") },
  {
    name: "jb",
    type: "jsonb",
    values: texts("jsonb", '{"b":1,"a":[1.0,2.00]}', "null", "1e1000", '{"__proto__":{"x":1}}'),
  },
  {
    name: "u",
    type: "uuid",
    values: texts("uuid", "00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
  },
  { name: "ip", type: "inet", values: texts("inet", "192.168.0.1", "192.168.0.1/24", "::1", "fe80::/10") },
  { name: "bi", type: "bit varying(9)", values: ["B''", "B'101'"] },
  { name: "ia", type: "int4[]", values: texts("int4[]", "{}", "{1,NULL,3}", "[-1:0][5:6]={{1,2},{3,4}}") },
  { name: "ta", type: "text[]", values: [`ARRAY['NULL', NULL, 'a,b', '"', E'\\\\', '{}', '']`, "'{}'::text[]"] },
  { name: "r", type: "int4range", values: texts("int4range", "empty", "[1,10)", "(,)") },
  { name: "e", type: "public.mood", values: ["'so so'::public.mood", "'Very \"good\"'::public.mood"] },
  { name: "dm", type: "public.small", values: ["1::public.small", "99::public.small"] },
  {
    name: "cp",
    type: "public.pair",
    values: ["ROW(1, 'a,b')::public.pair", "ROW(NULL, NULL)::public.pair", `ROW(2, '"q"')::public.pair`],
  },
  { name: "p", type: "point", values: texts("point", "(0.1,-0)", "(1e-7,1e300)") },
  { name: "tv", type: "tsvector", values: texts("tsvector", "a:1 fat:2,4 cat:3A", "") },
];

export const TYPED_TABLE = `
CREATE TYPE public.mood AS ENUM ('so so', 'Very "good"');
CREATE DOMAIN public.small AS int CHECK (VALUE < 100);
CREATE TYPE public.pair AS (x int, y text);
CREATE TABLE public.typed (id int PRIMARY KEY, ${TYPED_COLUMNS.map(({ name, type }) => `"${name}" ${type}`).join(", ")});
ALTER TABLE public.typed REPLICA IDENTITY FULL;
`;
