// One event by itself: it belongs to its topic, its shape is recorded, and record key and partition follow from its key.
import {
  type BarrierEvent,
  isBarrier,
  type MessageEvent,
  type RowEvent,
  topicTableOf,
  type WireRow,
} from "../event/change-event.ts";
import type { TableSchema } from "../event/schema.ts";
import { partitionOf } from "../kafka/murmur2.ts";
import type { FindingDetails, FindingKind, Findings } from "./finding.ts";
import { tableOf } from "./layout.ts";
import type { StreamRecord } from "./partition-cursor.ts";
import { Shape } from "./shape.ts";

export class EventCheck {
  readonly #findings: Findings;
  readonly #shapes = new Map<number, Shape>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** More shapes may be recorded while the stream is read. */
  learn(schemas: Iterable<TableSchema>): void {
    for (const schema of schemas) {
      if (!this.#shapes.has(schema.schema)) {
        this.#shapes.set(schema.schema, new Shape(schema));
      }
    }
  }

  shape(id: number): Shape | undefined {
    return this.#shapes.get(id);
  }

  check(record: StreamRecord): void {
    const { event, topic } = record;
    if (topicTableOf(event) !== topic.table) {
      const whose = event.table === null ? "A message" : `An event of table ${event.table}`;
      this.#add("EVENT_FOREIGN", `${whose} stands in the topic of ${topic.table ?? "messages"}.`, record);
    } else if (event.operation === "message") {
      this.#checkMessage(record, event);
    } else if (isBarrier(event)) {
      this.#checkBarrier(record, event);
    } else {
      this.#checkRow(record, event);
    }
  }

  #checkBarrier(record: StreamRecord, event: BarrierEvent): void {
    if (record.key !== null) {
      this.#add("KEY_WRONG", `A ${event.operation} has a record key.`, record);
    }
    if (event.schema !== null) {
      this.#shapeOf(record, event.schema);
    }
  }

  #checkMessage(record: StreamRecord, { after: { prefix } }: MessageEvent): void {
    const right = partitionOf(prefix, record.topic.partitions);
    if (record.key !== prefix) {
      this.#add("KEY_WRONG", "Its record key is not its prefix.", record);
    } else if (record.partition !== right) {
      this.#add("PARTITION_WRONG", `Its prefix belongs to partition ${right}.`, record);
    }
  }

  #checkRow(record: StreamRecord, event: RowEvent): void {
    const { topic, partition, key } = record;
    const right = partitionOf(key ?? event.table, topic.partitions);
    if (partition !== right) {
      this.#add("PARTITION_WRONG", `Its key belongs to partition ${right}.`, record);
    }
    const shape = this.#shapeOf(record, event.schema);
    if (shape === null) {
      return;
    }
    const row = event.operation === "delete" ? event.before : event.after;
    const fits =
      event.operation === "delete"
        ? shape.fitsOldRow(row)
        : shape.fitsRow(row, event.operation === "read" ? undefined : event.unchanged);
    if (!fits) {
      this.#add("COLUMNS_WRONG", `Its columns are not those of schema ${event.schema}.`, record);
    }
    if (!keyFits(shape, event.key, key, row)) {
      this.#add("KEY_WRONG", "Record key, key and row don't belong together.", record);
    }
  }

  #shapeOf(record: StreamRecord, id: number): Shape | null {
    const shape = this.#shapes.get(id);
    if (shape === undefined || shape.schema.table !== record.topic.table) {
      const what = shape === undefined ? "is recorded nowhere" : `is one of table ${shape.schema.table}`;
      this.#add("SCHEMA_UNKNOWN", `Its schema ${id} ${what}.`, record);
      return null;
    }
    return shape;
  }

  #add(kind: FindingKind, what: string, record: StreamRecord): void {
    this.#findings.add(kind, what, placeOf(record));
  }
}

function keyFits(shape: Shape, key: WireRow | null, recordKey: string | null, row: WireRow): boolean {
  if (key === null || recordKey === null) {
    return key === null && recordKey === null && shape.key.length === 0;
  }
  return (
    shape.key.length > 0 &&
    shape.keyTexts(key, recordKey) !== null &&
    shape.key.every(({ name }) => Object.hasOwn(row, name) && Object.is(row[name], key[name]))
  );
}

export function placeOf({ topic, partition, offset, event }: StreamRecord): FindingDetails {
  return { ...tableOf(topic), topic: topic.name, partition, offset, sequence: event.sequence };
}
