// Where a server's history left a timeline. https://www.postgresql.org/docs/current/protocol-replication.html
import pg from "pg";
import { type Lsn, parseLsn } from "../event/lsn.ts";
import { clientConfig, closeSql, type PostgresSettings } from "./session.ts";

/** The LSN at which history `current` left timeline `from`; null when it never was on it. */
export async function readSwitchPoint(settings: PostgresSettings, from: number, current: number): Promise<Lsn | null> {
  const client = new pg.Client({
    ...clientConfig(settings, "afterimage timeline"),
    replication: "database",
  } as pg.ClientConfig);
  client.on("error", () => undefined); // the query below reports it
  await client.connect();
  try {
    const { rows } = await client.query(`TIMELINE_HISTORY ${current}`);
    return findSwitchPoint(String(rows[0]?.content ?? ""), from);
  } finally {
    await closeSql(client);
  }
}

/** Lines of a history file: timeline, the LSN at which it was left, the reason. */
export function findSwitchPoint(history: string, timeline: number): Lsn | null {
  for (const line of history.split("\n")) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (match !== null && Number(match[1]) === timeline) {
      return parseLsn(match[2]!);
    }
  }
  return null;
}
