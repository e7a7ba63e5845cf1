// Looks at the catalogue every few seconds while the stream goes on: tables that were made, renamed, taken out and put
// back, or rewritten without events. What the catalogue says of a table's name may be ahead of the stream, so such a table
// is met only once the stream has got there; that rows changed without an event is true at once.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import type { Lsn } from "../event/lsn.ts";
import type { TableSchema } from "../event/schema.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { BuildEvents } from "../pipeline/placements.ts";
import {
  describeTables,
  readCandidateTables,
  readPublishedOids,
  readPublishedTables,
  readTypesMark,
  type TableDescription,
} from "../source/catalog.ts";
import { type PublicationState, readPublication } from "../source/publication.ts";
import { readRowsStates } from "../source/rows-state.ts";
import { errorCode, isConnectionLoss } from "../source/session.ts";
import { checkContinuity } from "./continuity.ts";
import type { OpenProgress } from "./open-progress.ts";
import { addTablesOf, publicationLost, readUnnamed } from "./open-slot.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { haltsWhenWritten, readUnread } from "./snapshot-plan.ts";
import { publicationChanged, publicationForeign, type ServerFacts } from "./start-checks.ts";
import { asCaptured } from "./start-tables.ts";
import { isSelected, type TableResolver } from "./table-resolver.ts";

interface WatchParts {
  readonly config: Config;
  readonly server: ServerFacts;
  readonly resolver: TableResolver;
  readonly book: SnapshotBook;
  /** As of `Pipeline.place`. */
  readonly place: (after: Lsn, build: BuildEvents) => Promise<void>;
  /** Asks the server how far it has sent. */
  readonly ask: () => void;
  /** Ends the session at a batch boundary: the next one reads what is new, from a gap before its first row. */
  readonly beginAgain: () => void;
  readonly fail: (error: unknown) => void;
}

/** What was there when the daemon's first session began. */
export interface Before {
  /** Tables that matched, and that a publication which is not ours left out; null until they were looked for. */
  unpublished: ReadonlySet<number> | null;
}

/** A lock on a new table that is not granted within this is asked for again by the next look. */
const LOCK_MS = 1_000;
/** Looks between two closer ones at tables that could not be added. */
const LOOKS_PASSED = 11;
const LOCK_NOT_GRANTED = "55P03";

export class CatalogWatch {
  readonly #parts: WatchParts;
  /** By OID, what the catalogue said of a table when its rows' state was read last. */
  readonly #looked = new Map<number, string>();
  /** Tables that are met once the stream is where the catalogue is. */
  readonly #awaited = new Set<number>();
  /** What could not be added to our publication, and in how many looks it was not looked at closer since. */
  #left: { readonly oids: string; readonly notes: string[]; passed: number } = { oids: "", notes: [], passed: 0 };
  readonly #before: Before;

  /** `ask`: asks the server how far it has sent. `before` is for all sessions of a daemon. */
  constructor(
    config: Config,
    { server, resolver, snapshots }: OpenProgress,
    pipeline: Pipeline,
    ask: () => void,
    before: Before,
  ) {
    this.#before = before;
    this.#parts = {
      ...{ config, server, resolver, ask },
      book: snapshots,
      place: (after, build) => pipeline.place(after, build),
      beginAgain: () => pipeline.stop(),
      fail: (error) => {
        // A lost connection ends the session by itself.
        if (!isConnectionLoss(errorCode(error) ?? "")) {
          pipeline.fail(error);
        }
      },
    };
  }

  /** Gives what an operator should know. Throws the errors of `checkPublication`, `checkContinuity` and `announced`. */
  async look(client: pg.Client): Promise<string[]> {
    const { config, server, resolver, book } = this.#parts;
    const publication = await checkPublication(client, config, server);
    const inForce = resolver.inForce();
    const known = new Map(inForce.map((schema) => [schema.oid, schema]));
    const left = publication.ours
      ? await this.#addNew(client, publication, known)
      : await this.#nameUnpublished(client, publication);
    const published = new Set(await readPublishedOids(client, publication.oid, null));
    const described = await describeTables(client, publication.oid, [...new Set([...known.keys(), ...published])]);
    const notes = checkContinuity(inForce, described, config.onRewrite);
    await this.#lookAtRows(
      client,
      described.filter(({ oid }) => published.has(oid)),
      known,
    );
    const unread = await readUnread(client, this.#parts, config, null);
    if (unread.length > 0) {
      this.#parts.beginAgain();
    }
    const unmet = described.filter(
      (table) =>
        published.has(table.oid) &&
        known.get(table.oid)?.table !== formatTableName(table.schema, table.table) &&
        (known.has(table.oid) || (resolver.isCaptured(table) && !haltsWhenWritten(table, config.keyless))) &&
        !unread.some(({ oid }) => oid === table.oid) &&
        !this.#awaited.has(table.oid),
    );
    if (unmet.length > 0) {
      this.#meet(client, unmet).catch(this.#parts.fail);
    }
    return [...notes, ...left, ...book.notes];
  }

  /** What changed or went by without an event. */
  async #lookAtRows(
    client: pg.Client,
    described: readonly TableDescription[],
    known: ReadonlyMap<number, TableSchema>,
  ): Promise<void> {
    const { server, resolver, book } = this.#parts;
    const types = await readTypesMark(client);
    const marks = new Map(
      described.map(({ oid, written, publicationRel }) => [oid, `${written} ${publicationRel} ${types}`]),
    );
    // What a table is part of, or made of, leaves no trace in its own row of pg_class.
    const changed = described.filter(
      ({ oid, schema, table, partitioned, ancestors }) =>
        known.get(oid)?.table === formatTableName(schema, table) &&
        (partitioned || ancestors.length > 0 || this.#looked.get(oid) !== marks.get(oid)),
    );
    if (changed.length === 0) {
      return;
    }
    const oids = changed.map(({ oid }) => oid);
    const states = await readRowsStates(client, server.publication, oids, (oid) => known.get(oid)!.rows);
    for (const { oid, publicationRel } of changed) {
      const schema = known.get(oid)!;
      const rows = states.get(oid);
      const isOther =
        JSON.stringify(rows) !== JSON.stringify(schema.rows) ||
        (publicationRel !== null && publicationRel !== schema.publicationRel);
      if (rows !== undefined && isOther) {
        const observed = asCaptured(await resolver.observed(schema, publicationRel, rows));
        if (observed !== null) {
          book.announced(observed);
        }
      }
      this.#looked.set(oid, marks.get(oid)!);
    }
  }

  /** Tables by names that the stream doesn't know them by, but those that the next session reads. */
  async #meet(client: pg.Client, tables: readonly TableDescription[]): Promise<void> {
    const { server, resolver, book, place, ask } = this.#parts;
    const oids = tables.map(({ oid }) => oid);
    for (const oid of oids) {
      this.#awaited.add(oid);
    }
    const reached = place(tables.at(-1)!.readAt, () => []);
    reached.catch(() => undefined); // the run may end before it is waited for
    // An idle server writes nothing that would bring the stream there.
    await client.query("BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_current_xact_id(); COMMIT");
    ask();
    await reached;
    for (const table of await readPublishedTables(client, server.publication, oids)) {
      const captured = asCaptured(await resolver.register(table));
      if (captured !== null) {
        book.announced(captured);
      }
    }
    for (const oid of oids) {
      this.#awaited.delete(oid);
    }
  }

  async #addNew(
    client: pg.Client,
    publication: PublicationState,
    known: ReadonlyMap<number, TableSchema>,
  ): Promise<string[]> {
    const { config, server } = this.#parts;
    const missing = (await readUnnamed(client, config, publication)).filter(({ oid }) => !known.has(oid));
    const oids = missing.map(({ oid }) => oid).join();
    if (oids === this.#left.oids && this.#left.passed++ < LOOKS_PASSED) {
      return this.#left.notes; // why a table can't be published takes long to find out
    }
    try {
      const left = await addTablesOf(client, config, publication, server.version, missing, LOCK_MS);
      const notes = left.map(
        ({ schema, table }) =>
          `Table ${formatTableName(schema, table)} matches but can't be captured as it is: afterimage doctor tells why.`,
      );
      this.#left = { oids: left.map(({ oid }) => oid).join(), notes, passed: 0 };
      return notes;
    } catch (error) {
      if (errorCode((error as Error).cause) === LOCK_NOT_GRANTED) {
        return [];
      }
      throw error;
    }
  }

  /** Tables that were made since the daemon began, and match. */
  async #nameUnpublished(client: pg.Client, { oid, allTables }: PublicationState): Promise<string[]> {
    if (allTables) {
      return [];
    }
    const { tables, postgres } = this.#parts.config;
    const candidates = await readUnpublished(client, tables, oid);
    return candidates
      .filter((table) => this.#before.unpublished?.has(table.oid) === false)
      .map(({ schema, table }) => {
        const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
        return `Table ${formatTableName(schema, table)} was made and matches, but publication ${postgres.publication}, which afterimage did not make, leaves it out. To capture it: ALTER PUBLICATION ${quoteIdentifier(postgres.publication)} ADD TABLE ${name};`;
      });
  }
}

async function readUnpublished(
  client: pg.Client,
  patterns: Config["tables"],
  publication: number,
): Promise<TableDescription[]> {
  const candidates = await readCandidateTables(client, publication);
  return candidates.filter((table) => table.publicationRel === null && isSelected(patterns, table));
}

/** Notes once what is there before the first look. */
export async function lookBefore(
  client: pg.Client,
  { tables }: Config,
  { publication }: ServerFacts,
  before: Before,
): Promise<void> {
  before.unpublished ??= new Set((await readUnpublished(client, tables, publication)).map(({ oid }) => oid));
}

/** Throws PUBLICATION_LOST, PUBLICATION_FOREIGN or PUBLICATION_CHANGED. */
async function checkPublication(
  client: pg.Client,
  { stream, postgres }: Config,
  started: ServerFacts,
): Promise<PublicationState> {
  const publication = await readPublication(client, postgres.publication);
  if (publication === null) {
    throw publicationLost(stream, postgres.publication);
  }
  if (publication.oid !== started.publication) {
    throw publicationForeign();
  }
  if (publication.xmin !== started.publicationXmin) {
    throw publicationChanged(started.publicationXmin, publication.xmin);
  }
  return publication;
}
