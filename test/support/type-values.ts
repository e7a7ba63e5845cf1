// For every type that Postgres has: texts that it reads, extremes first, and how a decoded value becomes text again.
// Arrays, ranges, domains and composites are made of these in type-columns.ts.
import fc from "fast-check";
import {
  asIs,
  type Print,
  printBool,
  printBytes,
  printFloat,
  printGeometric,
  printHstore,
  printInterval,
  printLsn,
  printTimestamp,
} from "./postgres-text.ts";

export interface TypeValues {
  readonly extremes: readonly string[];
  readonly more?: fc.Arbitrary<string>;
  /** `asIs` unless given. */
  readonly print?: Print;
  /** Texts as Postgres prints them that have no value in JavaScript. */
  readonly unrepresentable?: RegExp;
}

const whole = (bits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }).map(String);
const unsigned = (bits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }).map(String);
const signed = (bits: number): string[] => [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n, 0n].map(String);

const string = fc.string({ unit: "binary" }).filter((text) => !text.includes("\0"));
const texts: TypeValues = {
  extremes: [
    "",
    "NULL",
    "null",
    "\\N",
    " a ",
    "\t\n\r\\\"'{},()[];",
    "é😀\u2028\ufeff\u0001",
    "{{'(\\é})",
    "x".repeat(3000),
  ],
  more: fc.oneof(string, fc.string({ unit: fc.constantFrom(..."\"\\{}(), NUL'é") })),
};
const word = fc.string({ unit: fc.constantFrom(..."abcXYZ_0189"), minLength: 1, maxLength: 12 });

const double = fc.double().map((value) => (Object.is(value, -0) ? "-0" : String(value)));
const floats = ["NaN", "Infinity", "-Infinity", "-0", "0", "0.1", "1e15", "-123456789"];
const coordinate = fc.oneof(fc.constantFrom(...floats), double);
const point = fc.tuple(coordinate, coordinate).map(([x, y]) => `(${x},${y})`);
const points = fc.array(point, { minLength: 1, maxLength: 4 }).map((all) => all.join(","));

const two = (value: number): string => String(value).padStart(2, "0");
const date = fc
  .tuple(
    fc.integer({ min: 1, max: 9999 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
    fc.boolean(),
  )
  .map(([year, month, day, bc]) => ({
    date: `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}`,
    era: bc && year < 4700 ? " BC" : "",
  }));
const time = fc
  .tuple(fc.integer({ min: 0, max: 86_399 }), fc.integer({ min: 0, max: 999_999 }))
  .map(
    ([second, micro]) =>
      `${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}.${String(micro).padStart(6, "0")}`,
  );
const timestamp = fc.tuple(date, time).map(([day, clock]) => `${day.date} ${clock}${day.era}`);

const ipv4 = fc.ipV4();
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: digits, maxLength: digits });
const bits = fc.string({ unit: fc.constantFrom("0", "1"), maxLength: 70 });
const nested = fc.json();
const lexeme = word.map((one) => `'${one}'`);

const JSON_LOSSES = /9007199254740993|1e131071|0{400}|a\\*":1,\\*"a\\*":2/;

/** By name in pg_catalog. `user`: a role that exists. */
export function builtInValues(user: string, version: number): Readonly<Record<string, TypeValues>> {
  const role = `"${user.replaceAll('"', '""')}"`;
  return {
    bool: { extremes: ["t", "f"], print: printBool },
    int2: { extremes: signed(16), more: whole(16) },
    int4: { extremes: signed(32), more: whole(32) },
    int8: { extremes: [...signed(64), "9007199254740993"], more: whole(64) },
    oid: { extremes: ["0", "4294967295"], more: unsigned(32) },
    xid: { extremes: ["0", "4294967295"], more: unsigned(32) },
    cid: { extremes: ["0", "4294967295"], more: unsigned(32) },
    xid8: { extremes: ["0", "18446744073709551615"], more: unsigned(64) },
    float4: {
      extremes: [...floats, "1e-45", "3.4028235e38"],
      more: fc.float().map((value) => (Object.is(value, -0) ? "-0" : String(value))),
      print: printFloat,
    },
    float8: { extremes: [...floats, "5e-324", "1.7976931348623157e308"], more: double, print: printFloat },
    numeric: {
      extremes: ["NaN", "Infinity", "-Infinity", "1e131071", "-1e-16383", "-0.00", "1.10", "9007199254740993"],
      more: fc.tuple(fc.bigInt(), fc.nat()).map(([major, minor]) => `${major}.${minor}`),
    },
    money: { extremes: ["-92233720368547758.08", "92233720368547758.07", "0"], more: whole(50) },
    char: {
      extremes: ["", "a", "\\200", "\\377", '"', "{"],
      more: fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 1 }),
    },
    name: { extremes: ["", "n".repeat(63), "é", '"'], more: word },
    text: texts,
    varchar: texts,
    bpchar: texts,
    bytea: {
      extremes: ["\\x", "\\x00", "\\xff5c2722", `\\x${"00ff".repeat(2000)}`],
      more: fc.uint8Array().map((value) => `\\x${Buffer.from(value).toString("hex")}`),
      print: printBytes,
    },
    bit: { extremes: ["0", "1"] },
    varbit: { extremes: ["", "0", "1".repeat(64)], more: bits },
    uuid: {
      extremes: ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
      more: fc.uuid(),
    },
    json: {
      extremes: [
        "null",
        '{"a":1,"a":2}',
        '"\\u0000"',
        '"\\ud800"',
        " [ 1 , 2 ] ",
        "1e131071",
        "9007199254740993",
        "-0",
      ],
      more: nested,
      print: JSON.stringify,
      unrepresentable: JSON_LOSSES,
    },
    jsonb: {
      extremes: ["null", "1.10", "1e131071", '{"a":9007199254740993}', '{"b":1,"a":[{}]}', '{"1":0,"__proto__":null}'],
      // jsonb refuses the character 0 and lone surrogates.
      more: nested.filter(
        (text) => !/\\u(0000|d[89a-f])/i.test(text) && !/[\ud800-\udfff]/.test(text) && !/e[+-]\d{3}/.test(text),
      ),
      print: JSON.stringify,
      unrepresentable: JSON_LOSSES,
    },
    jsonpath: { extremes: ["$", 'strict $."a b"[*] ? (@ > 1.5)', "$.a.double()"] },
    xml: { extremes: ["", "<a b='c'>&amp;é</a>", "text"], more: word.map((one) => `<${"x"}${one}/>`) },
    date: {
      extremes: [
        "infinity",
        "-infinity",
        "4714-11-24 BC",
        "5874897-12-31",
        "0001-01-01",
        "0001-12-31 BC",
        "2000-02-29",
      ],
      more: date.map((day) => `${day.date}${day.era}`),
    },
    time: { extremes: ["00:00:00", "24:00:00", "23:59:59.999999"], more: time },
    timetz: {
      extremes: ["00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.5+00"],
      more: time.map((one) => `${one}-03:30`),
    },
    timestamp: {
      extremes: [
        "infinity",
        "-infinity",
        "4714-11-24 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
        "0001-01-01 00:00:00",
      ],
      more: timestamp,
    },
    timestamptz: {
      extremes: [
        ...["infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"],
        ...["0001-12-31 23:59:59.000001+00 BC", "1969-12-31 23:59:59.999999+00", "275760-09-12 23:59:59.999999+00"],
      ],
      more: timestamp.map((one) => one.replace(/( BC)?$/, "-03:30$1")),
      print: printTimestamp,
      unrepresentable: /infinity|\b29\d{4}-/,
    },
    interval: {
      extremes: [
        ...["00:00:00", "178000000 years", "-178000000 years -11 mons", "2147483647 days", "-2147483648 days"],
        ...[
          "2562047788:00:54.775807",
          "-2562047788:00:54.775807",
          "-1 year 2 mons -3 days 04:05:06.000001",
          "1 mon -00:00:01",
        ],
        ...(version >= 170_000 ? ["infinity", "-infinity"] : []),
      ],
      more: fc
        .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.integer({ min: -99_999, max: 99_999 }), whole(60))
        .map(([months, days, micros]) => `${months} mons ${days} days ${micros} microseconds`),
      print: printInterval,
      unrepresentable: /infinity/,
    },
    inet: { extremes: ["0.0.0.0/0", "::/0", "10.0.0.1", "::ffff:1.2.3.4/128"], more: fc.oneof(ipv4, fc.ipV6()) },
    cidr: { extremes: ["0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32"], more: ipv4 },
    macaddr: { extremes: ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"], more: hex(12) },
    macaddr8: { extremes: ["00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"], more: hex(16) },
    point: { extremes: ["(NaN,Infinity)", "(-0,1e-300)"], more: point, print: printGeometric.point },
    line: { extremes: ["{1,-1,0}", "{0,1,-5e-324}"], print: printGeometric.line },
    lseg: {
      extremes: ["[(0,0),(1,1)]"],
      more: fc.tuple(point, point).map(([a, b]) => `[${a},${b}]`),
      print: printGeometric.lseg,
    },
    box: {
      extremes: ["(1,1),(0,0)"],
      more: fc.tuple(point, point).map(([a, b]) => `${a},${b}`),
      print: printGeometric.box,
    },
    path: {
      extremes: ["[(0,0)]", "((0,0),(1,1))"],
      more: fc.tuple(points, fc.boolean()).map(([all, open]) => (open ? `[${all}]` : `(${all})`)),
      print: printGeometric.path,
    },
    polygon: { extremes: ["((0,0))"], more: points.map((all) => `(${all})`), print: printGeometric.polygon },
    circle: {
      extremes: ["<(0,0),Infinity>", "<(NaN,-0),0>"],
      more: point.map((center) => `<${center},2.5>`),
      print: printGeometric.circle,
    },
    tsvector: { extremes: ["", "'a':1A,2B 'b c':3"], more: fc.array(lexeme).map((all) => all.join(" ")) },
    tsquery: { extremes: ["", "'a' & !'b':*AB | ('c' <-> 'd')"], more: lexeme },
    int2vector: { extremes: ["", "1 -2 3"], print: (value) => value.join(" ") },
    oidvector: { extremes: ["", "0 4294967295"], print: (value) => value.join(" ") },
    tid: { extremes: ["(0,0)", "(4294967295,65535)"] },
    pg_lsn: { extremes: ["0/0", "FFFFFFFF/FFFFFFFF", "1/ABCDEF"], print: printLsn },
    pg_snapshot: { extremes: ["1:1:", "10:20:10,14,15"] },
    txid_snapshot: { extremes: ["1:1:", "10:20:10,14,15"] },
    aclitem: { extremes: [`=r/${role}`, `${role}=arwdDxt/${role}`, `${role}=r*/${role}`] },
    refcursor: texts,
    regproc: { extremes: ["-", "pg_catalog.now"] },
    regprocedure: { extremes: ["-", "pg_catalog.sum(int4)"] },
    regoper: { extremes: ["0", "pg_catalog.||/"] },
    regoperator: { extremes: ["0", "pg_catalog.+(int4,int4)"] },
    regclass: { extremes: ["-", "pg_catalog.pg_class", "4294967294"] },
    regtype: { extremes: ["-", "int4", "text[]", "timestamptz"] },
    regconfig: { extremes: ["-", "pg_catalog.english"] },
    regdictionary: { extremes: ["-", "pg_catalog.simple"] },
    regnamespace: { extremes: ["-", "public"] },
    regrole: { extremes: ["-", role] },
    regcollation: { extremes: ["-", 'pg_catalog."C"'] },
  };
}

/** By `extension.type`. */
export const EXTENSION_VALUES: Readonly<Record<string, TypeValues>> = {
  "hstore.hstore": {
    extremes: ["", "a=>1,b=>NULL", '"NULL"=>"NULL","\\"\\\\"=>"=>, "', "1=>2,0=>3,__proto__=>4"],
    print: printHstore,
  },
  "citext.citext": texts,
  "ltree.ltree": {
    extremes: ["", "Top.Science.A_1"],
    more: fc.array(word, { minLength: 1, maxLength: 5 }).map((all) => all.join(".")),
  },
  "ltree.lquery": { extremes: ["*", "Top.*{1,2}.a*@|b%"] },
  "ltree.ltxtquery": { extremes: ["a & b* | !c"] },
  "cube.cube": { extremes: ["(1, 2.5)", "(0, 0),(1, 1e-300)"] },
  "seg.seg": { extremes: ["1.5", "~1 .. <2", "1(+-)0.5"] },
  "intarray.query_int": { extremes: ["1&(2|!3)"] },
  "isn.ean13": { extremes: ["978-0-11-000222-4"] },
  "isn.isbn13": { extremes: ["978-0-11-000222-4"] },
  "isn.ismn13": { extremes: ["979-0-060-11561-5"] },
  "isn.issn13": { extremes: ["977-1436-452-00-8"] },
  "isn.isbn": { extremes: ["978-0-11-000222-4"] },
  "isn.ismn": { extremes: ["979-0-060-11561-5"] },
  "isn.issn": { extremes: ["1436-4522"] },
  "isn.upc": { extremes: ["220356483481"] },
  "vector.vector": { extremes: ["[1,2.5,-3e-5]"], print: (value) => `[${value.map(printFloat).join(",")}]` },
  "vector.halfvec": { extremes: ["[1,2.5]"], print: (value) => `[${value.map(printFloat).join(",")}]` },
  "vector.sparsevec": { extremes: ["{1:1,3:2.5}/5"] },
  "postgis.geometry": { extremes: ["POINT(1 2)", "SRID=4326;POLYGON((0 0,1 0,1 1,0 0))", "POINT EMPTY"] },
  "postgis.geography": { extremes: ["POINT(1 2)"] },
  "postgis.spheroid": { extremes: ['SPHEROID["WGS 84",6378137,298.257223563]'] },
  "postgis.box2d": { extremes: ["BOX(0 0,1 1)"] },
  "postgis.box3d": { extremes: ["BOX3D(0 0 0,1 1 1)"] },
};

export { asIs };
