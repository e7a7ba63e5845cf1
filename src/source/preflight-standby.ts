// The checks of a standby that holds the slot (postgres.standbyUrl), beside those of the primary.
import type pg from "pg";
import { type Finding, ok } from "./finding.ts";
import { connectPatiently, type Patience } from "./preflight-connection.ts";
import { checkReplication, judgeServer, readServerFacts, type ServerFacts } from "./preflight-server.ts";
import { closeSql, hostOf, type PostgresSettings } from "./session.ts";
import { judgeStandby, readStandbyFacts } from "./standby.ts";

export interface StandbyPreflight {
  readonly findings: readonly Finding[];
  /** Null when it could not be asked. */
  readonly facts: ServerFacts | null;
}

/** `settings` are the standby's, `primary` is connected to the primary. */
export async function preflightStandby(
  settings: PostgresSettings,
  { slot, stream = "STREAM" }: { readonly slot: string; readonly stream?: string },
  primary: pg.Client,
  patience: Patience,
): Promise<StandbyPreflight> {
  const connected = await connectPatiently(settings, patience);
  if ("finding" in connected) return { findings: [connected.finding], facts: null };
  const { client } = connected;
  try {
    const facts = await readServerFacts(client, slot);
    const reached = ok("POSTGRES_UNREACHABLE", `standby at ${hostOf(settings.url)}, database ${facts.database}`);
    const server = judgeServer({ ...facts, inRecovery: false }, slot, stream);
    const standby = judgeStandby(await readStandbyFacts(client), await readStandbyFacts(primary));
    return { findings: [reached, ...server, ...standby, await checkReplication(settings, facts)], facts };
  } finally {
    await closeSql(client);
  }
}
