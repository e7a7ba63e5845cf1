// `tail`: the daemon's own pipeline with a terminal at its end instead of Kafka. Leaves nothing behind: the slot is
// temporary, the publication is dropped at the end, or by the next `tail` or `drop` when this one was killed.
import { randomBytes } from "node:crypto";
import type pg from "pg";
import type { MessageRoute } from "../capture/captured-table.ts";
import type { Resolution } from "../capture/relation-cache.ts";
import { shapeOf } from "../capture/table-shape.ts";
import { AfterimageError } from "../errors.ts";
import { formatTableName } from "../event/identifier.ts";
import { ZERO_LSN } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { RowEncoder } from "../event/row-encoder.ts";
import type { Relation } from "../pgoutput/messages.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { encodeEvent } from "../sink/encode-event.ts";
import { describeTable, readTypeNames } from "../source/catalog.ts";
import { Feedback } from "../source/feedback.ts";
import { findingsError } from "../source/finding.ts";
import { judgeOrigin, type Origin } from "../source/origin.ts";
import { dropOrphans, holdTailPublication, TAIL_PREFIX } from "../source/orphans.ts";
import { connectPatiently } from "../source/preflight-connection.ts";
import { checkReplication, judgeServer, readServerFacts } from "../source/preflight-server.ts";
import { inspectTables, judgeIdentity } from "../source/preflight-tables.ts";
import { createPublication, dropPublication, readPublication } from "../source/publication.ts";
import { ReplicationStream } from "../source/replication-stream.ts";
import { closeSql, errorCode, type PostgresSettings } from "../source/session.ts";
import { isSelected } from "./table-resolver.ts";

export interface TailTarget {
  readonly postgres: PostgresSettings & { readonly origin: Origin };
  readonly tables: readonly string[];
  /** An existing publication to read; null makes one for the time of the tail. */
  readonly publication: string | null;
}

export interface TailOutput {
  /** Events as they would be published, in order. What it returns is waited for before more is read. */
  events(json: readonly string[]): Promise<void>;
  /** Something the reader should know. */
  note(line: string): void;
  /** Changes committed from now on are shown. */
  ready(tables: number): void;
}

interface TailPublication {
  readonly name: string;
  readonly oid: number;
  readonly tables: number;
  readonly temporary: boolean;
}

/** Shows changes until the signal. Throws what preflight finds, TAIL_NO_TABLES, PUBLICATION_MISSING or POSTGRES_LOST. */
export async function runTail(target: TailTarget, output: TailOutput, signal: AbortSignal): Promise<void> {
  const connected = await connectPatiently(target.postgres, { waitMs: 0 });
  if ("finding" in connected) throw findingsError([connected.finding])!;
  const { client } = connected;
  let publication: TailPublication | null = null;
  try {
    const facts = await readServerFacts(client, "");
    const error = findingsError([
      ...judgeServer(facts, "", ""),
      ...judgeOrigin(target.postgres.origin, facts.version),
      await checkReplication(target.postgres, facts),
    ]);
    if (error !== null) throw error;
    publication =
      target.publication === null
        ? await makePublication(client, target.tables, facts.version, output)
        : await existingPublication(client, target.publication);
    await stream(client, target, publication, output, signal);
  } catch (thrown) {
    throw lostConnection(thrown);
  } finally {
    if (publication?.temporary === true) await dropPublication(client, publication.name).catch(() => undefined);
    await closeSql(client);
  }
}

/** For the tables that can be published without making the application's statements fail; the others are named. */
async function makePublication(
  client: pg.Client,
  patterns: readonly string[],
  version: number,
  output: TailOutput,
): Promise<TailPublication> {
  for (const orphan of await dropOrphans(client))
    output.note(`Dropped publication ${orphan}, left by a tail that was killed.`);
  const rules = { version, keyless: true, publishesChanges: true, sendsGenerated: false };
  const chosen = (await inspectTables(client)).filter((table) => table.logged && isSelected(patterns, table));
  const usable = chosen.filter((table) => table.owned && judgeIdentity(table, rules) === null);
  const nameOf = ({ schema, table }: { schema: string; table: string }) => formatTableName(schema, table);
  const left = chosen.filter((table) => !usable.includes(table));
  if (left.length > 0) {
    output.note(
      `Left out, since publishing them would make UPDATE and DELETE fail or is not allowed: ${left.map(nameOf).join(", ")} (afterimage doctor names the remedy).`,
    );
  }
  if (usable.length === 0) {
    throw new AfterimageError(
      "TAIL_NO_TABLES",
      `There is no table to show${left.length > 0 ? ": none of those that match can be published" : ""}.`,
      'Create one with a primary key, or choose others with --tables "schema.*".',
    );
  }
  const name = `${TAIL_PREFIX}${randomBytes(4).toString("hex")}`;
  await holdTailPublication(client, name);
  if (!(await createPublication(client, name, usable))) {
    return makePublication(client, patterns, version, output); // a table went meanwhile
  }
  const made = await readPublication(client, name);
  return { name, oid: made!.oid, tables: usable.length, temporary: true };
}

async function existingPublication(client: pg.Client, name: string): Promise<TailPublication> {
  const found = await readPublication(client, name);
  if (found === null) {
    throw new AfterimageError(
      "PUBLICATION_MISSING",
      `There is no publication ${name} in this database.`,
      "SELECT pubname FROM pg_publication; shows those there are. Without --publication a temporary one is made.",
    );
  }
  const { rows } = await client.query("SELECT count(*)::int AS tables FROM pg_publication_tables WHERE pubname = $1", [
    name,
  ]);
  return { name, oid: found.oid, tables: rows[0].tables, temporary: false };
}

/** How long making the slot may take before it is said what Postgres waits for. */
const PATIENCE_MS = 2_000;

async function stream(
  client: pg.Client,
  target: TailTarget,
  publication: TailPublication,
  output: TailOutput,
  signal: AbortSignal,
): Promise<void> {
  const slot = publication.temporary ? publication.name : `${TAIL_PREFIX}${randomBytes(4).toString("hex")}`;
  const slow = setTimeout(
    () => output.note("Postgres waits for open transactions to end before it can show the first change."),
    PATIENCE_MS,
  );
  const opened = ReplicationStream.open(
    target.postgres,
    { slot, publication: publication.name, origin: target.postgres.origin, temporary: true },
    "afterimage tail",
    signal,
  ).finally(() => clearTimeout(slow));
  const source = await opened.catch((error) => {
    if (signal.aborted) return null;
    throw error;
  });
  if (source === null) return;
  const feedback = new Feedback((update) => source.sendStatusUpdate(update));
  try {
    const resume = {
      epoch: 1,
      sequence: 0,
      completeSequence: 0,
      endLsn: ZERO_LSN,
      last: null,
      confirmedFlushLsn: ZERO_LSN,
    };
    // Counted per tail; no schemas topic holds them.
    let schemas = 0;
    const pipeline = new Pipeline({
      source,
      resume,
      resolve: (relation) => resolve(client, publication.oid, target, relation, ++schemas),
      encode: encodeEvent,
      messages: EVERY_MESSAGE,
      publish: async ({ events, ...position }) => {
        if (events.length > 0) await output.events(events.map(({ value }) => value));
        return { ...NOTHING_STORED, ...position };
      },
      confirm: (endLsn) => feedback.confirm(endLsn),
      answer: () => feedback.send(),
      maxBytes: 1024 * 1024,
      lingerMs: 0,
    });
    feedback.start();
    source.lost.catch((error) => pipeline.fail(error));
    const running = pipeline.run();
    signal.addEventListener("abort", () => pipeline.stop(), { once: true });
    if (signal.aborted) pipeline.stop();
    output.ready(publication.tables);
    await running;
  } finally {
    feedback.stop();
    await source.close();
  }
}

/** The pipeline asks for a progress record; a tail stores none. */
const NOTHING_STORED: Progress = {
  stream: "",
  epoch: 1,
  firstSequence: 1,
  sequence: 0,
  completeSequence: 0,
  endLsn: ZERO_LSN,
  last: null,
  systemId: "",
  timeline: 1,
  database: 0,
  slot: "",
  publication: 0,
  resume: "",
  partitions: new Map(),
  snapshot: [],
};

/** They belong to no table, so no choice of tables leaves them out. */
const EVERY_MESSAGE: MessageRoute = { topic: "", partitions: 1, wants: () => true, placeless: () => undefined };

const GONE = { publicationRel: null, primaryKey: null, identityIndex: null, readAt: ZERO_LSN };

async function resolve(
  client: pg.Client,
  publication: number,
  target: TailTarget,
  relation: Relation,
  schema: number,
): Promise<Resolution> {
  const described = await describeTable(client, publication, relation.oid);
  const typeNames = await readTypeNames(
    client,
    relation.columns.map(({ typeOid }) => typeOid),
  );
  const keyless = relation.identity === "f" && described?.primaryKey?.immediate === false;
  const shape = shapeOf(relation, described ?? GONE, null, typeNames, keyless);
  const encoder = new RowEncoder({ ...shape, schema, topicId: "" });
  const shown = isSelected(target.tables, described ?? { ...relation, ancestors: [] });
  return shown ? { encoder, topic: shape.table, partitions: 1 } : { encoder, topic: null };
}

function lostConnection(thrown: unknown): unknown {
  const code = errorCode(thrown);
  if (thrown instanceof AfterimageError || code === undefined) return thrown;
  return new AfterimageError(
    "POSTGRES_LOST",
    `The connection to Postgres ended (${code}).`,
    "Start the tail again; changes committed in between are not shown.",
    { cause: thrown },
  );
}
