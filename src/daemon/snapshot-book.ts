// How far the snapshots are, as the next progress record will say, and what the stream says of their tables meanwhile.
import type { CapturedTable } from "../capture/captured-table.ts";
import type { CapturedEvent } from "../capture/sequencer.ts";
import { keyToReadAgain, TableWatch } from "../capture/table-watch.ts";
import {
  type KeyRange,
  type KeyTexts,
  type SnapshotState,
  type TableSnapshot,
  WHOLE_TABLE,
} from "../event/snapshot-state.ts";
import type { SnapshotSide } from "../pipeline/parts.ts";

/** Every progress record holds the keys to read again. Above so many characters of them the table is read anew. */
export const MOST_AGAIN = 64 * 1024;

export class SnapshotBook implements SnapshotSide {
  #state: SnapshotState;
  /** Keys to read again that are not in `#state` yet: one transaction may name very many. */
  readonly #noted = new Map<number, string[][]>();
  /** Characters of the keys to read again, where some were noted. */
  readonly #weights = new Map<number, number>();
  /** How often what was read of a table was given up. */
  readonly #generations = new Map<number, number>();
  /** Tables that are being read now. */
  readonly #watches = new Map<number, TableWatch>();

  constructor(state: SnapshotState) {
    this.#state = state;
  }

  get state(): SnapshotState {
    if (this.#noted.size > 0) {
      this.#state = this.#state.map((entry) => {
        const noted = this.#noted.get(entry.oid);
        return noted === undefined ? entry : { ...entry, again: [...entry.again, ...noted] };
      });
      this.#noted.clear();
    }
    return this.#state;
  }

  note(event: CapturedEvent): void {
    if (this.#state.length === 0) {
      return;
    }
    const { oid } = event.table.encoder.schema;
    const entry = this.#state.find((one) => one.oid === oid);
    if (entry === undefined) {
      return;
    }
    const watch = this.#watches.get(oid);
    watch?.note(event);
    if (watch !== undefined || isBegun(entry)) {
      const key = keyToReadAgain(event);
      if (key !== null) {
        this.#readAgain(entry, key);
      }
    }
  }

  /** A chunk of another generation than this was read of a snapshot that is given up, or begun anew. */
  generation(oid: number): number {
    return this.#generations.get(oid) ?? 0;
  }

  get(oid: number): TableSnapshot | undefined {
    return this.state.find((entry) => entry.oid === oid);
  }

  add(entry: TableSnapshot): void {
    this.#state = [...this.state, entry];
  }

  change(oid: number, what: Partial<TableSnapshot>): void {
    if (what.again !== undefined) {
      this.#weights.delete(oid);
    }
    this.#state = this.state.map((entry) => (entry.oid === oid ? { ...entry, ...what } : entry));
  }

  /** A range of the table is read up to that key, or to its end (null). */
  advance(oid: number, upTo: KeyTexts | null, after: KeyTexts | null): void {
    const { ranges } = this.get(oid)!;
    const left = ranges.flatMap((range) =>
      nameOf(range.upTo) !== nameOf(upTo) ? [range] : after === null ? [] : [{ after, upTo }],
    );
    this.change(oid, { ranges: left });
  }

  /** Makes several ranges of one: `ends` are the last keys of all but the last of them, in order. */
  split(oid: number, upTo: KeyTexts | null, ends: readonly KeyTexts[]): void {
    const { ranges } = this.get(oid)!;
    const parts = ({ after }: KeyRange) =>
      [...ends, upTo].map((end, at) => ({ after: at === 0 ? after : ends[at - 1]!, upTo: end }));
    this.change(oid, {
      ranges: ranges.flatMap((range) => (nameOf(range.upTo) === nameOf(upTo) ? parts(range) : [range])),
    });
  }

  /** The snapshot of this table is over. */
  remove(oid: number): void {
    this.#watches.delete(oid);
    this.#weights.delete(oid);
    this.#generations.set(oid, this.generation(oid) + 1);
    this.#state = this.state.filter((entry) => entry.oid !== oid);
  }

  /** From now on every event of the table is noted. */
  watch(oid: number): TableWatch {
    const watch = new TableWatch();
    this.#watches.set(oid, watch);
    return watch;
  }

  /** The watch of the table's reading; not that of a snapshot which is over, though another one may have begun. */
  isWatchedBy(oid: number, watch: TableWatch): boolean {
    return this.#watches.get(oid) === watch;
  }

  #readAgain(entry: TableSnapshot, key: string[]): void {
    const { oid } = entry;
    const weight = (this.#weights.get(oid) ?? weigh(entry.again)) + weigh([key]);
    if (weight > MOST_AGAIN) {
      // What is read from here on sees all that is streamed by then.
      this.#noted.delete(oid);
      this.#generations.set(oid, this.generation(oid) + 1);
      this.change(oid, { ranges: [WHOLE_TABLE], again: [], rows: 0 });
      return;
    }
    this.#weights.set(oid, weight);
    const noted = this.#noted.get(oid) ?? [];
    noted.push(key);
    this.#noted.set(oid, noted);
  }
}

/** A key, and so a range of a table, by name. */
export const nameOf = (key: KeyTexts | null): string => JSON.stringify(key);

/** Whether rows of it may have been read. */
function isBegun({ ranges, rows }: TableSnapshot): boolean {
  const [first] = ranges;
  return rows > 0 || ranges.length !== 1 || first!.after !== null || first!.upTo !== null;
}

const weigh = (keys: readonly (readonly string[])[]): number =>
  keys.reduce((sum, key) => key.reduce((length, text) => length + text.length, sum), 0);

/** A table before anything of it was read. */
export function toBeRead(
  table: CapturedTable,
  { where = null, estimate = null }: { where?: string | null; estimate?: number | null } = {},
): TableSnapshot {
  const { oid, table: name } = table.encoder.schema;
  return { table: name, oid, where, since: null, ranges: [WHOLE_TABLE], again: [], rows: 0, estimate };
}
