// Keys of which the stream has left values out while readers may not have the row yet: they are read again.
import type { Sight, Window } from "../capture/table-watch.ts";
import type { RowEncoder, RowValues } from "../event/row-encoder.ts";
import type { KeyTexts as Key } from "../event/snapshot-state.ts";
import { nameOf } from "./table-snapshot.ts";

export interface ReadAgain {
  /** The keys that were asked for. */
  readonly keys: readonly Key[];
  /** What was found of them. */
  readonly rows: readonly RowValues[];
  /** False when more rows of these keys were left behind. */
  readonly atEnd: boolean;
  readonly window: Window;
  readonly sight: Sight;
  readonly encoder: RowEncoder;
}

/**
 * Of the keys that wait, those that have to wait on: not yet asked for, not yet reached, or left out of an event that
 * the chunk's snapshot does not see.
 */
export function leftToReadAgain(waiting: readonly Key[], chunk: ReadAgain): readonly Key[] {
  const { keys, rows, atEnd, window, sight, encoder } = chunk;
  const found = new Set(rows.map((row) => encoder.recordKey(row)));
  const done = new Set<string>();
  for (const key of keys) {
    const recordKey = encoder.recordKey(rowOf(encoder, key))!;
    if ((atEnd || found.has(recordKey)) && window.fateOf(recordKey, sight) !== "read-again") {
      done.add(nameOf(key));
    }
  }
  return waiting.filter((key) => !done.has(nameOf(key)));
}

export function withoutDoubles(keys: readonly Key[]): readonly Key[] {
  return [...new Map(keys.map((key) => [nameOf(key), key])).values()];
}

/** A row that has the key alone. */
function rowOf(encoder: RowEncoder, key: Key): RowValues {
  const row: (string | null)[] = encoder.schema.columns.map(() => null);
  encoder.keyPlaces.forEach((place, at) => {
    row[place] = key[at]!;
  });
  return row;
}
