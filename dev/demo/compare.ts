// Whether table, topic and index hold the same rows, and every sequence came once: pure, told from what was read.

/** Column to its text; null is SQL's NULL. */
export type Row = Readonly<Record<string, string | null>>;

/** Primary key to row. */
export type Rows = ReadonlyMap<string, Row>;

interface WireEvent {
  v: number;
  table: string | null;
  operation: string;
  key: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  sequence: number;
  copies?: number;
  unchanged?: string[];
  previousKey?: Record<string, unknown>;
}

export interface TopicState {
  readonly rows: Rows;
  /** The highest sequence. */
  readonly last: number;
  /** Sequences of 1 to `last` that are nowhere. */
  readonly missing: readonly number[];
  /** Sequences that a partition holds twice, or that two partitions hold though the event has no copies. */
  readonly duplicates: readonly number[];
  /** Sequences that follow a higher one in their partition. */
  readonly outOfOrder: readonly number[];
  /** Events whose meaning needs a row that the topic does not give. */
  readonly unresolved: readonly number[];
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

const keyText = (key: Record<string, unknown> | null | undefined) =>
  JSON.stringify(Object.values(key ?? {}).map(textOf));

/** Plays a table's topic from the first record; the records of each partition must be in the order of their offsets. */
export function playTopic(records: Iterable<{ partition: number; value: string | null }>): TopicState {
  const events = new Map<number, { event: WireEvent; partitions: number[] }>();
  const duplicates: number[] = [];
  const outOfOrder: number[] = [];
  const highest = new Map<number, number>();
  for (const { partition, value } of records) {
    const event: WireEvent = JSON.parse(value ?? "null");
    if (event?.v !== 1) throw new Error(`A record of partition ${partition} is no event of version 1.`);
    const { sequence } = event;
    if (sequence < (highest.get(partition) ?? 0)) outOfOrder.push(sequence);
    highest.set(partition, Math.max(sequence, highest.get(partition) ?? 0));
    const seen = events.get(sequence);
    if (seen === undefined) events.set(sequence, { event, partitions: [partition] });
    else if (event.copies === undefined || seen.partitions.includes(partition)) duplicates.push(sequence);
    else seen.partitions.push(partition);
  }
  const last = Math.max(0, ...highest.values());
  const missing: number[] = [];
  for (let sequence = 1; sequence <= last; sequence++) if (!events.has(sequence)) missing.push(sequence);
  const ordered = [...events.values()].map(({ event }) => event).sort((a, b) => a.sequence - b.sequence);
  return { ...play(ordered), last, missing, duplicates, outOfOrder };
}

function play(events: readonly WireEvent[]): { rows: Rows; unresolved: number[] } {
  const rows = new Map<string, Row>();
  const unresolved: number[] = [];
  // The row a key change deleted: its insert follows and may take unchanged values from it.
  let moved: Row | undefined;
  for (const event of events) {
    const key = keyText(event.key);
    switch (event.operation) {
      case "insert":
      case "update":
      case "read": {
        const old = event.previousKey === undefined ? rows.get(key) : moved;
        const row = Object.fromEntries(Object.entries(event.after ?? {}).map(([name, value]) => [name, textOf(value)]));
        for (const name of event.unchanged ?? []) {
          if (old === undefined || !(name in old)) unresolved.push(event.sequence);
          else row[name] = old[name] ?? null;
        }
        rows.set(key, row);
        break;
      }
      case "delete":
        moved = rows.get(key);
        rows.delete(key);
        break;
      case "truncate":
        rows.clear();
        break;
      default:
        unresolved.push(event.sequence);
    }
  }
  return { rows, unresolved };
}

/** Row by row, column by column (those of the table); one line for each difference, without values. */
export function differences(table: Rows, other: Rows, name: string): string[] {
  const found: string[] = [];
  for (const [key, row] of table) {
    const counterpart = other.get(key);
    if (counterpart === undefined) {
      found.push(`row ${key} is missing in the ${name}`);
      continue;
    }
    const columns = Object.keys(row).filter((column) => counterpart[column] !== row[column]);
    if (columns.length > 0) found.push(`row ${key} differs in the ${name}: ${columns.join(", ")}`);
  }
  for (const key of other.keys()) if (!table.has(key)) found.push(`row ${key} of the ${name} is not in the table`);
  return found;
}

const some = (sequences: readonly number[]) =>
  `${sequences.length} (${sequences.slice(0, 5).join(", ")}${sequences.length > 5 ? ", …" : ""})`;

export interface Verdict {
  readonly equal: boolean;
  /** What to print: the one line when all is equal, else what differs. */
  readonly lines: readonly string[];
}

export function judge(table: Rows, topic: TopicState, index: Rows): Verdict {
  const sizes = `table ${table.size} rows, topic ${topic.rows.size} keys, index ${index.size} rows`;
  const wrong = [...differences(table, topic.rows, "topic"), ...differences(table, index, "index")];
  if (topic.missing.length > 0) wrong.push(`sequences that are missing: ${some(topic.missing)}`);
  if (topic.duplicates.length > 0) wrong.push(`sequences that came twice: ${some(topic.duplicates)}`);
  if (topic.outOfOrder.length > 0) wrong.push(`sequences out of order: ${some(topic.outOfOrder)}`);
  if (topic.unresolved.length > 0)
    wrong.push(`events that the topic alone does not explain: ${some(topic.unresolved)}`);
  if (wrong.length === 0) {
    return { equal: true, lines: [`${sizes}: equal; sequence 1..${topic.last} gapless; 0 duplicates`] };
  }
  const shown = wrong.slice(0, 20);
  if (wrong.length > shown.length) shown.push(`… and ${wrong.length - shown.length} more differences`);
  return { equal: false, lines: [`${sizes}: NOT equal`, ...shown.map((line) => `  ${line}`)] };
}
