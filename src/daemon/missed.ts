// Did rows of a table change, or go by, without an event? Two versions of its record tell: where the key, the table behind
// the name, its place in the publication, or its rows as a whole are others, only reading the table makes views right.
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyOf } from "../capture/table-shape.ts";
import { AfterimageError } from "../errors.ts";
import type { RowsState, TableSchema } from "../event/schema.ts";
import { CAPTURE_ENDED, republished } from "./continuity.ts";

/** Why the topic of a table does not lead to the table's rows any more. */
export interface Missed {
  readonly code: "KEY_CHANGED" | "TABLE_REPUBLISHED" | "TABLE_REWRITTEN";
  /** As it stands in the gap's reason. */
  readonly why: string;
}

/** `now` follows `before` under the same name; null when its events alone are enough. */
export function whatWasMissed(before: TableSchema, now: TableSchema): Missed | null {
  const [had, has] = [keyOf(before), keyOf(now)];
  if (had.length > 0 && has.length === 0) {
    return keyChanged(had, has); // above all: no reading answers that
  }
  if (now.oid !== before.oid) {
    return { code: "TABLE_REPUBLISHED", why: "another table has this name now" };
  }
  const rejoined = now.publicationRel !== null && now.publicationRel !== before.publicationRel;
  if (rejoined || before.publicationRel === CAPTURE_ENDED) {
    return { code: "TABLE_REPUBLISHED", why: "it was out of the publication, or of the capture" };
  }
  if (had.length !== has.length || had.some((name, place) => name !== has[place])) {
    return keyChanged(had, has);
  }
  return before.rows === undefined || now.rows === undefined ? null : rowsMissed(before.rows, now.rows, had);
}

function keyChanged(had: readonly string[], has: readonly string[]): Missed {
  const show = (names: readonly string[]) => (names.length === 0 ? "none" : names.join(", "));
  return { code: "KEY_CHANGED", why: `its key was (${show(had)}) and is now (${show(has)})` };
}

function rowsMissed(before: RowsState, now: RowsState, key: readonly string[]): Missed | null {
  if (now.place !== before.place) {
    return { code: "TABLE_REPUBLISHED", why: "it was detached, or in another schema, and came back" };
  }
  const why = rewritten(before, now) ?? otherNames(before, now, key);
  return why === null ? null : { code: "TABLE_REWRITTEN", why };
}

function rewritten(before: RowsState, now: RowsState): string | null {
  if (now.parts !== before.parts) {
    return "its partitions were attached, detached or rewritten";
  }
  if (now.filled.some((attnum) => !before.filled.includes(attnum))) {
    return "a column was added with a value for all rows";
  }
  const renamed = Object.entries(before.enums).some(([type, labels]) => {
    const left = now.enums[type];
    return left !== undefined && labels.some((label) => !left.includes(label));
  });
  if (renamed) {
    return "a value of an enum was renamed";
  }
  if (Object.entries(before.composites).some(([type, was]) => (now.composites[type] ?? was) !== was)) {
    return "attributes of a composite type were added, dropped or changed";
  }
  if (now.file === before.file) {
    // Where Postgres takes the bytes for those of the other type as they are, their text may still be another one, such
    // as a timestamp's that gets a time zone.
    const retyped = Object.entries(before.types).some(([attnum, was]) => isOtherText(was, now.types[attnum] ?? was));
    return retyped ? "a column's type was changed" : null;
  }
  if (now.columns !== before.columns) {
    return "its rows were rewritten";
  }
  // VACUUM FULL, CLUSTER and TRUNCATE leave the columns as they are. So does a table that was UNLOGGED for a while,
  // which Postgres refuses to one that a publication names; and a TRUNCATE, unlike that, keeps the TOAST table.
  const maybeUnlogged = now.place !== "own" && (now.toast === 0 || now.toast !== before.toast);
  return maybeUnlogged ? "its file was replaced, by VACUUM FULL or while it was UNLOGGED" : null;
}

/**
 * Under which names the topic holds what is no longer called so. A column of the key is left to the first row with the new
 * key: the catalogue may be ahead of rows that still have the former one.
 */
function otherNames(before: RowsState, now: RowsState, key: readonly string[]): string | null {
  const { names: had, types: hadLive } = before;
  const has = now.names;
  if (had === undefined || has === undefined) {
    return null;
  }
  const live = Object.keys(now.types);
  if (live.some((attnum) => attnum in hadLive && had[attnum] !== has[attnum] && !key.includes(had[attnum]!))) {
    return "a column was renamed";
  }
  const isTaken = (name: string, attnum: string) =>
    Object.entries(had).some(([other, was]) => was === name && other !== attnum && now.types[other] === undefined);
  return live.some((attnum) => !(attnum in had) && isTaken(has[attnum]!, attnum))
    ? "a column was dropped, and another one has its name"
    : null;
}

/**
 * As `whatWasMissed`, where rows came with names that the catalogue does not give: between two looks at it columns were
 * renamed, and renamed again or back, or dropped. Then these rows hold under one name what others hold under another one.
 */
export function oddNames(before: TableSchema, now: TableSchema): Missed | null {
  const { rows } = now;
  const namesOf = ({ columns }: TableSchema) => columns.map(({ name }) => name);
  const [had, has] = [namesOf(before), namesOf(now)];
  // The same object where the catalogue has nothing of the table any more.
  if (rows?.names === undefined || rows === before.rows || JSON.stringify(had) === JSON.stringify(has)) {
    return null;
  }
  // Postgres sends columns in the order of their numbers, which are never given again.
  const numbers = new Map(Object.keys(rows.types).map((attnum) => [rows.names![attnum]!, Number(attnum)]));
  const taken = new Set(numbers.values());
  let last = 0;
  for (const name of has.filter((one) => numbers.has(one) || !had.includes(one))) {
    // One that is not there any more stood at a number that none of those has that are.
    const number = numbers.get(name) ?? last + 1;
    if (number <= last || (!numbers.has(name) && taken.has(number))) {
      return { code: "TABLE_REWRITTEN", why: "columns had other names for a while" };
    }
    last = number;
  }
  return null;
}

/** text, bpchar, varchar: whichever way the bytes are kept, the text is the same. */
const TEXTS = new Set([25, 1042, 1043]);

const isOtherText = (before: number, now: number): boolean => before !== now && !(TEXTS.has(before) && TEXTS.has(now));

/** The halt that says so. */
export function missedError(table: string, { code, why }: Missed, remedy?: string): AfterimageError {
  switch (code) {
    case "TABLE_REPUBLISHED":
      return republished(table);
    case "KEY_CHANGED":
      return new AfterimageError(
        code,
        `Table ${table}: ${why}. Its rows would move to other partitions, and their order would be lost.`,
        remedy ??
          "Restore the key; or set onRewrite: snapshot, which reads the table again; or rebuild the stream: afterimage drop STREAM --topics, then start.",
      );
    case "TABLE_REWRITTEN":
      return new AfterimageError(
        code,
        `Table ${table}: ${why}, and Postgres sends no events for that.`,
        remedy ??
          "Set onRewrite: snapshot and start again: the table is read anew. Or rebuild the stream: afterimage drop STREAM --topics, then start.",
      );
    default:
      throw code satisfies never;
  }
}

/**
 * Whether a table that is met by its first row holds rows that the stream doesn't, though everything is published from
 * its making on: not when it has the file that it was made with. Of other new tables a start reads the rows.
 */
export function mayHoldMore({ publicationRel, oid, rows }: TableSchema): boolean {
  return publicationRel === null && rows !== undefined && (rows.file !== oid || rows.filled.length > 0);
}

/** Throws when the table shall not be read anew, or has lost its key. */
export function refuseWithout(
  { onRewrite }: { readonly onRewrite: "snapshot" | "halt" },
  { encoder }: CapturedTable,
  missed: Missed,
): void {
  const hasLostKey = missed.code === "KEY_CHANGED" && !encoder.hasKey;
  if (hasLostKey || onRewrite === "halt") {
    throw missedError(encoder.schema.table, missed, hasLostKey ? REMEDY_WITHOUT_KEY : undefined);
  }
}

const REMEDY_WITHOUT_KEY =
  "Rows without a key can't follow rows that have one in the same topic. Give it the key back, or rebuild the stream: afterimage drop STREAM --topics, then start.";
