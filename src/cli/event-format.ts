// One event as one readable line, a dim line above each transaction.
import { styleText } from "node:util";
import { printable } from "../errors.ts";
import type { ChangeEvent, MessageEvent, WireRow, WireValue } from "../event/change-event.ts";

const WIDEST_VALUE = 60;

export class EventFormatter {
  readonly #stream: NodeJS.WriteStream;
  #transaction = "";

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  format(event: ChangeEvent): string {
    const { transaction } = event;
    const id = `${transaction.epoch} ${transaction.lsn} ${transaction.id}`;
    const header =
      id === this.#transaction
        ? ""
        : `${this.#style("gray", `── ${event.timestamp} transaction ${transaction.id ?? "–"} at ${transaction.lsn}`)}\n`;
    this.#transaction = id;
    return `${header}${this.#line(event)}\n`;
  }

  #line(event: ChangeEvent): string {
    switch (event.operation) {
      case "insert":
        return this.#join("green", "insert", event.table, formatKey(event.key), formatRow(event.after, event.key));
      case "read":
        return this.#join("green", "read", event.table, formatKey(event.key), formatRow(event.after, event.key));
      case "update":
        return this.#join(
          "yellow",
          "update",
          event.table,
          formatKey(event.key),
          [formatUpdate(event.before, event.after, event.key), formatUnchanged(event.unchanged)]
            .filter(Boolean)
            .join(" "),
        );
      case "delete":
        return this.#join("red", "delete", event.table, formatKey(event.key), formatRow(event.before, event.key));
      case "truncate":
        return this.#join("red", "truncate", event.table, "", "every row");
      case "message":
        return this.#join("cyan", "message", show(event.after.prefix), "", formatContent(event.after));
      case "gap":
        return this.#join("red", "gap", event.table, "", show(event.reason));
      case "sweep":
        return this.#join("cyan", "sweep", event.table, "", "");
      default:
        throw event satisfies never;
    }
  }

  #join(colour: Parameters<typeof styleText>[0], operation: string, table: string, key: string, rest: string): string {
    const verb = this.#style(colour, operation.padEnd(8));
    return [verb, this.#style("bold", printable(table)), this.#style("cyan", key), rest]
      .filter((part) => part !== "")
      .join(" ");
  }

  #style(format: Parameters<typeof styleText>[0], text: string): string {
    return text === "" ? "" : styleText(format, text, { stream: this.#stream });
  }
}

const formatKey = (key: WireRow | null): string => (key === null ? "" : pairs(Object.entries(key)));

function formatRow(row: WireRow | null, key: WireRow | null): string {
  return row === null ? "" : pairs(Object.entries(row).filter(([name]) => key === null || !Object.hasOwn(key, name)));
}

/** Old and new value of what changed; every value when the old row is not known (no REPLICA IDENTITY FULL). */
function formatUpdate(before: WireRow | null, after: WireRow, key: WireRow | null): string {
  if (before === null) return formatRow(after, key);
  const changed = Object.entries(after).filter(([name, value]) => before[name] !== value);
  return changed.length === 0
    ? "(no value changed)"
    : changed.map(([name, value]) => `${printable(name)}=${show(before[name] ?? null)}→${show(value)}`).join(" ");
}

const formatUnchanged = (names: readonly string[] | undefined): string =>
  names === undefined ? "" : `(${names.map(printable).join(", ")} unchanged)`;

const pairs = (entries: readonly [string, WireValue][]): string =>
  entries.map(([name, value]) => `${printable(name)}=${show(value)}`).join(" ");

function formatContent({ content, encoding }: MessageEvent["after"]): string {
  return encoding === "utf8" ? show(content) : `${show(content)} (base64)`;
}

function show(value: WireValue): string {
  if (typeof value !== "string") return String(value);
  const plain = /^[\w.:+-]+$/.test(value) ? value : printable(JSON.stringify(value));
  return plain.length > WIDEST_VALUE ? `${plain.slice(0, WIDEST_VALUE - 1)}…` : plain;
}
