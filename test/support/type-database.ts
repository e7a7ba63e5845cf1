// The database in which every type has a column: extensions and types beside the built-in ones, and settings of its
// owner's that must not show in the stream.

/** Those of which the server has the files are made. */
export const EXTENSIONS = ["hstore", "citext", "ltree", "cube", "seg", "isn", "intarray", "lo", "vector", "postgis"];

export const USER_TYPES = `
  CREATE TYPE mood AS ENUM ('calm', 'NULL', 'with "quotes", commas', 'é');
  CREATE DOMAIN positive AS int CHECK (VALUE > 0);
  CREATE DOMAIN moods AS mood;
  CREATE DOMAIN words AS text[];
  CREATE DOMAIN few_words AS words;
  CREATE TYPE pair AS (x int, "Y y" text);
  CREATE TYPE nest AS (p pair, all_p pair[], m moods, at timestamptz, w words);
  CREATE DOMAIN paired AS pair CHECK ((VALUE)."Y y" IS DISTINCT FROM 'forbidden');
  CREATE DOMAIN nests AS nest[];
  CREATE TYPE deep AS (n nest, "all" nests, p paired, all_paired paired[], r int4range);
  CREATE TYPE float_range AS RANGE (subtype = float8);
  CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
  CREATE TABLE plain (a bytea, b mood[]);`;

/** What its owner may set for the database: the stream's text must not follow it. */
export const HOSTILE = {
  ...{ datestyle: "German, DMY", intervalstyle: "sql_standard", bytea_output: "escape", extra_float_digits: "0" },
  ...{ timezone: "Asia/Kolkata", xmlbinary: "hex", quote_all_identifiers: "on" },
};

/** The settings that docs/wire-format.md names. */
export const PINNED = `
  SET datestyle = ISO; SET intervalstyle = postgres; SET bytea_output = hex; SET extra_float_digits = 3;
  SET timezone = UTC; SET lc_monetary = 'C'; SET xmlbinary = base64; SET search_path = ''; SET client_encoding = UTF8;
  SET quote_all_identifiers = off`;
