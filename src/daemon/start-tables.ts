// What a start does about tables: halts when one is not what it was, or its topic isn't, and plans what has to be read.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Resolution } from "../capture/relation-cache.ts";
import type { Config } from "../config/config.ts";
import { formatTableName, parseTableName } from "../event/identifier.ts";
import type { TableSchema } from "../event/schema.ts";
import type { SnapshotState, TableSnapshot } from "../event/snapshot-state.ts";
import { describeTables, type PublishedTable, readPublishedTables } from "../source/catalog.ts";
import { CAPTURE_ENDED, checkContinuity, republished } from "./continuity.ts";
import { refuseWithout, whatWasMissed } from "./missed.ts";
import type { OpenTables } from "./new-epoch.ts";
import { planSnapshots } from "./snapshot-plan.ts";
import { isExcluded, isSelected, newestByOid } from "./table-resolver.ts";
import { toBeRead } from "./table-snapshot.ts";

export interface StartTables {
  readonly tables: readonly CapturedTable[];
  /** Records of those that the configuration excludes now. */
  readonly ended: readonly TableSchema[];
  readonly plan: SnapshotState;
  readonly notes: readonly string[];
}

/**
 * Every table is the one it was, and so is its topic; only then new ones are recorded, and those that the configuration
 * excludes are ended. `timeoutMs`: of the stream's own Kafka transactions. Throws the errors of `checkContinuity`, of
 * `refuseWithout`, of `Topics.verifyKept`, and TABLE_REPUBLISHED.
 */
export async function checkTables(
  { client, publication, publisher, resolver, topics }: OpenTables,
  config: Config,
  { settingsChanged, underWay, timeoutMs }: { settingsChanged: boolean; underWay: SnapshotState; timeoutMs: number },
): Promise<StartTables> {
  const { tables } = config;
  const inForce = resolver.inForce();
  const described = await describeTables(
    client,
    publication,
    inForce.map(({ oid }) => oid),
  );
  const excluded = inForce.filter(({ oid, table }) => {
    const name = parseTableName(table);
    const ancestors = described.find((now) => now.oid === oid)?.ancestors ?? [];
    // With the same settings as before a table that is not selected any more is a partition that was detached: what
    // was written to it until then still counts.
    return isExcluded(tables, name) || (settingsChanged && !isSelected(tables, { ...name, ancestors }));
  });
  const kept = inForce.filter((schema) => !excluded.includes(schema));
  const notes = checkContinuity(kept, described, config.onRewrite);
  await topics.verifyKept(kept, publisher.progress.messagesTopicId, timeoutMs);
  const newest = newestByOid(resolver.latest());
  const before = new Map(resolver.latest().map((schema) => [schema.table, schema]));
  const published = (await readPublishedTables(client, publication)).filter((table) => resolver.isCaptured(table));
  if (config.onRewrite === "halt") {
    for (const { oid, schema, table } of published) {
      const name = formatTableName(schema, table);
      const recorded = before.get(name);
      if (recorded !== undefined && (recorded.publicationRel === CAPTURE_ENDED || recorded.oid !== oid)) {
        throw republished(name);
      }
    }
  }
  const ended = excluded.map((schema) => resolver.end(schema));
  const registered: Resolution[] = [];
  for (const table of published.filter((one) => isWhatItWas(one, newest, before))) {
    registered.push(await resolver.register(table, { keepKey: true }));
  }
  const captured = registered.map(asCaptured).filter((table) => table !== null);
  const { plan, planNotes } = await planReading(client, captured, before, config, underWay);
  return {
    tables: captured,
    ended,
    plan,
    notes: [
      ...notes,
      ...planNotes,
      ...ended.map(({ table }) => `Table ${table} is excluded now: its rows that are not published yet never will be.`),
    ],
  };
}

/**
 * Under another name than it was recorded by, or another table under that name: WAL may come that is older than this.
 * Those are met where their rows come, or by the next look once the stream has got there.
 */
function isWhatItWas(
  { oid, schema, table }: PublishedTable,
  newest: ReadonlyMap<number, TableSchema>,
  before: ReadonlyMap<string, TableSchema>,
): boolean {
  const name = formatTableName(schema, table);
  const recorded = newest.get(oid);
  return recorded === undefined ? !before.has(name) : recorded.table === name;
}

async function planReading(
  client: pg.Client,
  captured: readonly CapturedTable[],
  before: ReadonlyMap<string, TableSchema>,
  config: Config,
  underWay: SnapshotState,
): Promise<{ plan: SnapshotState; planNotes: readonly string[] }> {
  const fresh: CapturedTable[] = [];
  const anew: TableSnapshot[] = [];
  const planNotes: string[] = [];
  for (const table of captured) {
    const { schema } = table.encoder;
    const recorded = before.get(schema.table);
    const missed = recorded === undefined ? null : whatWasMissed(recorded, schema);
    if (recorded === undefined) {
      fresh.push(table);
    } else if (missed !== null) {
      refuseWithout(config, table, missed);
      anew.push(toBeRead(table, { behind: true }));
      planNotes.push(`Table ${schema.table} is read anew: ${missed.why}.`);
    }
  }
  const first = config.snapshot === "never" ? [] : await planSnapshots(client, fresh);
  const goingOn = underWay.filter(({ oid }) => !anew.some((entry) => entry.oid === oid));
  return { plan: [...goingOn, ...anew, ...first], planNotes };
}

export const asCaptured = (resolution: Resolution): CapturedTable | null =>
  resolution.topic === null ? null : resolution;
