// The decoder of every built-in type, by the name and by the OID that it has in pg_type. What is not here stays text.
// https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
import { nestedArray } from "./array.ts";
import { bytes } from "./bytes.ts";
import { type Decoder, text } from "./decoder.ts";
import { circle, line, path, point, polygon, twoPoints } from "./geometric.ts";
import { interval } from "./interval.ts";
import { json, jsonb } from "./json.ts";
import { bigInteger, bool, float, integer, lsn, vector } from "./numbers.ts";
import { multirange, range } from "./range.ts";
import { timestamptz } from "./timestamp.ts";

export interface BuiltInType {
  readonly name: string;
  readonly decoder: Decoder<unknown>;
}

/** Name, OID, OID of the array type; decoded as `decoder` says. */
type Row = readonly [name: string, oid: number, arrayOid: number, decoder: Decoder<unknown>];

// biome-ignore format: a table
const TYPES: readonly Row[] = [
  ["bool", 16, 1000, bool], ["bytea", 17, 1001, bytes],
  ["int2", 21, 1005, integer], ["int4", 23, 1007, integer], ["int8", 20, 1016, bigInteger],
  ["oid", 26, 1028, integer], ["xid", 28, 1011, integer], ["cid", 29, 1012, integer], ["xid8", 5069, 271, bigInteger],
  ["float4", 700, 1021, float], ["float8", 701, 1022, float], ["numeric", 1700, 1231, text], ["money", 790, 791, text],
  ["char", 18, 1002, text], ["name", 19, 1003, text], ["text", 25, 1009, text], ["bpchar", 1042, 1014, text],
  ["varchar", 1043, 1015, text], ["bit", 1560, 1561, text], ["varbit", 1562, 1563, text], ["uuid", 2950, 2951, text],
  ["json", 114, 199, json], ["jsonb", 3802, 3807, jsonb], ["jsonpath", 4072, 4073, text], ["xml", 142, 143, text],
  ["timestamptz", 1184, 1185, timestamptz], ["timestamp", 1114, 1115, text], ["date", 1082, 1182, text],
  ["time", 1083, 1183, text], ["timetz", 1266, 1270, text], ["interval", 1186, 1187, interval],
  ["inet", 869, 1041, text], ["cidr", 650, 651, text], ["macaddr", 829, 1040, text], ["macaddr8", 774, 775, text],
  ["point", 600, 1017, point], ["line", 628, 629, line], ["lseg", 601, 1018, twoPoints], ["box", 603, 1020, twoPoints],
  ["path", 602, 1019, path], ["polygon", 604, 1027, polygon], ["circle", 718, 719, circle],
  ["tsvector", 3614, 3643, text], ["tsquery", 3615, 3645, text],
  ["int2vector", 22, 1006, vector], ["oidvector", 30, 1013, vector],
  ["tid", 27, 1010, text], ["pg_lsn", 3220, 3221, lsn], ["pg_snapshot", 5038, 5039, text],
  ["txid_snapshot", 2970, 2949, text], ["aclitem", 1033, 1034, text], ["refcursor", 1790, 2201, text],
  ["regproc", 24, 1008, text], ["regprocedure", 2202, 2207, text], ["regoper", 2203, 2208, text],
  ["regoperator", 2204, 2209, text], ["regclass", 2205, 2210, text], ["regtype", 2206, 2211, text],
  ["regconfig", 3734, 3735, text], ["regdictionary", 3769, 3770, text], ["regnamespace", 4089, 4090, text],
  ["regrole", 4096, 4097, text], ["regcollation", 4191, 4192, text],
  ["int4range", 3904, 3905, range(integer)], ["int8range", 3926, 3927, range(bigInteger)],
  ["numrange", 3906, 3907, range(text)], ["daterange", 3912, 3913, range(text)], ["tsrange", 3908, 3909, range(text)],
  ["tstzrange", 3910, 3911, range(timestamptz)],
  ["int4multirange", 4451, 6150, multirange(integer)], ["int8multirange", 4536, 6157, multirange(bigInteger)],
  ["nummultirange", 4532, 6151, multirange(text)], ["datemultirange", 4535, 6155, multirange(text)],
  ["tsmultirange", 4533, 6152, multirange(text)], ["tstzmultirange", 4534, 6153, multirange(timestamptz)],
];

/** By OID: the types above and their arrays. */
export const BUILT_IN: ReadonlyMap<number, BuiltInType> = new Map(
  TYPES.flatMap(([name, oid, arrayOid, decoder]) => [
    [oid, { name, decoder }],
    [arrayOid, { name: `_${name}`, decoder: nestedArray(decoder, name === "box" ? ";" : ",") }],
  ]),
);

const BY_NAME = new Map([...BUILT_IN.values()].map((type) => [type.name, type]));

/** The decoder of a type by its name in a schema record; null for a type that is not built in, or stays text. */
export const builtInNamed = (name: string): BuiltInType | null => BY_NAME.get(name) ?? null;
