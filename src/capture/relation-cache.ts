// Which relation OID stands for which table, as pgoutput announced it last on this connection. A relation is resolved
// (catalogue, topic, schema id) when a row needs it, not when it is announced: inside transactions that are already
// published an old shape of a table is announced again, and must not become a new schema.

import { malformed } from "../pgoutput/byte-reader.ts";
import type { PgoutputMessage, Relation } from "../pgoutput/messages.ts";
import type { CapturedTable, ExcludedTable } from "./captured-table.ts";

export type Resolution = CapturedTable | ExcludedTable;

export class RelationCache {
  readonly #announced = new Map<number, Relation>();
  readonly #resolved = new Map<number, Resolution>();

  announce(relation: Relation): void {
    this.#announced.set(relation.oid, relation);
    this.#resolved.delete(relation.oid);
  }

  /** What is still to be resolved before rows of that OID can be handled; null when nothing is. */
  unresolved(oid: number): Relation | null {
    if (this.#resolved.has(oid)) {
      return null;
    }
    const relation = this.#announced.get(oid);
    if (relation === undefined) {
      throw malformed(`a row names relation ${oid}, which was not announced`);
    }
    return relation;
  }

  /** The first relation that is still to be resolved before this message can be handled. */
  missingFor(message: PgoutputMessage): Relation | null {
    switch (message.kind) {
      case "insert":
      case "update":
      case "delete":
        return this.unresolved(message.relation);
      case "truncate":
        for (const oid of message.relations) {
          const relation = this.unresolved(oid);
          if (relation !== null) {
            return relation;
          }
        }
        return null;
      default:
        return null;
    }
  }

  resolve(oid: number, resolution: Resolution): void {
    this.#resolved.set(oid, resolution);
  }

  get(oid: number): Resolution {
    const resolution = this.#resolved.get(oid);
    if (resolution === undefined) {
      throw malformed(`a row names relation ${oid}, which was not announced`);
    }
    return resolution;
  }
}
