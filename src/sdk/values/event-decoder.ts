// Events as they stand in the stream → events with decoded rows, by the shape that each of them names.
import { AfterimageError } from "../../errors.ts";
import type { ChangeEvent, RowEvent, WireRow } from "../../event/change-event.ts";
import type { TableSchema } from "../../event/schema.ts";
import { RowDecoder } from "./row-decoder.ts";
import type { TableDefinitions } from "./table-types.ts";

export class EventDecoder {
  readonly #definitions: TableDefinitions | null;
  readonly #asText: ReadonlySet<string>;
  readonly #schemas = new Map<number, TableSchema>();
  readonly #decoders = new Map<number, RowDecoder>();

  /** Without definitions, built-in types are decoded, but for those in `asText`. */
  constructor(definitions: TableDefinitions | null, asText: readonly string[]) {
    this.#definitions = definitions;
    this.#asText = new Set(asText);
  }

  /** Schemas come in the order in which they were recorded. */
  learn(schema: TableSchema): void {
    this.#schemas.set(schema.schema, schema);
  }

  knows(event: ChangeEvent): boolean {
    return event.schema === null || event.operation === "truncate" || this.#schemas.has(event.schema);
  }

  /**
   * The same event with its rows decoded; its schema must be known.
   * @throws VALUE_UNREPRESENTABLE, VALUE_UNREADABLE, TYPES_OUTDATED
   */
  decode<Event extends ChangeEvent>(event: Event): Event;
  decode(event: ChangeEvent): ChangeEvent {
    if (event.schema === null || event.operation === "truncate") {
      return event;
    }
    const decoder = this.#decoderOf(event);
    const part = (row: WireRow) => decoder.part(row) as WireRow;
    const key = event.key === null ? null : part(event.key);
    switch (event.operation) {
      case "insert": {
        const previousKey = event.previousKey === undefined ? {} : { previousKey: part(event.previousKey) };
        return { ...event, key, after: decoder.row(event.after, event.unchanged) as WireRow, ...previousKey };
      }
      case "update": {
        const before = event.before === null ? null : (decoder.row(event.before) as WireRow);
        return { ...event, key, before, after: decoder.row(event.after, event.unchanged) as WireRow };
      }
      case "delete": {
        const nextKey = event.nextKey === undefined ? {} : { nextKey: part(event.nextKey) };
        return { ...event, key, before: part(event.before), ...nextKey };
      }
      case "read":
        return { ...event, key, after: decoder.row(event.after) as WireRow };
      default:
        throw event satisfies never;
    }
  }

  #decoderOf(event: RowEvent): RowDecoder {
    const known = this.#decoders.get(event.schema);
    if (known !== undefined) {
      return known;
    }
    const schema = this.#schemas.get(event.schema)!;
    if (schema.table !== event.table) {
      throw new AfterimageError(
        "STREAM_INCONSISTENT",
        `An event of ${event.table} names schema ${schema.schema}, which is ${schema.table}'s.`,
        "The topic was written by another program. Rebuild the stream: afterimage drop STREAM --topics.",
      );
    }
    const decoder = this.#newDecoder(schema);
    this.#decoders.set(event.schema, decoder);
    return decoder;
  }

  #newDecoder(schema: TableSchema): RowDecoder {
    if (this.#definitions === null) {
      return RowDecoder.builtIn(schema, this.#asText);
    }
    const earlier = [...this.#schemas.values()].filter(
      (other) => other.table === schema.table && other.schema < schema.schema,
    );
    return RowDecoder.defined(schema, this.#definitions[schema.table]!, earlier);
  }
}
