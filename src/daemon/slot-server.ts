// The server that holds the slot and sends the changes: the primary, or a standby of it (`postgres.standbyUrl`). All
// else, such as the catalogue and the rows of snapshots, is asked of the primary: it alone can write, and tells which
// transactions a snapshot sees.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { cancelStatement, closeSql, type PostgresSettings, withSql } from "../source/session.ts";
import { waitUntilInactive } from "../source/slot.ts";
import { checkStandby } from "../source/standby.ts";
import { standbyName } from "../source/wal-retention.ts";
import type { Connections } from "./connections.ts";
import { keep, type Lost } from "./resources.ts";

export const slotServer = (postgres: Config["postgres"]): PostgresSettings =>
  postgres.standbyUrl === undefined ? postgres : { ...postgres, url: postgres.standbyUrl };

/** Resolves once nobody streams from the slot. */
export const slotFree = ({ postgres, stream }: Config, signal: AbortSignal): Promise<void> =>
  withSql(
    slotServer(postgres),
    standbyName(stream),
    (client) => waitUntilInactive(client, postgres.slot, signal),
    signal,
  );

/** The slot may just be made: left alone, the server would go on making it. */
export async function cancelMaking(postgres: Config["postgres"], { catalog, standby }: Lost): Promise<void> {
  if (standby !== null) await cancelStatement(slotServer(postgres), standby);
  if (catalog !== null) await cancelStatement(postgres, catalog);
}

/** A connection to the standby; null without one. Throws what `checkStandby` throws. */
export async function connectStandby(
  { postgres, stream }: Config,
  connections: Connections,
  resources: AsyncDisposableStack,
  lost: Lost,
  primary: pg.Client,
  signal: AbortSignal,
): Promise<pg.Client | null> {
  if (postgres.standbyUrl === undefined) return null;
  const onLost = (error: Error) => lost.onLost(error);
  const standby = await connections.sql(slotServer(postgres), `afterimage ${stream} slot`, onLost, signal);
  await keep(resources, () => closeSql(standby));
  lost.standby = standby;
  await checkStandby(standby, primary);
  return standby;
}
