// Everything that the daemon serves over HTTP, opened and closed together: the admin address, and that of metrics where
// there is one.
import type { Config } from "../config/config.ts";
import { startAdminServer } from "./admin-server.ts";
import { History, type Moment } from "./history.ts";
import type { Listening } from "./http.ts";
import { startMetricsServer } from "./probes.ts";
import type { SnapshotRequests } from "./snapshot-requests.ts";
import type { DaemonStatus } from "./status.ts";

export interface ServedDaemon {
  readonly status: () => DaemonStatus;
  /** What is remembered for the dashboard. */
  readonly sample: () => Moment;
  readonly stop: () => void;
  /** Throws NOT_STREAMING. */
  readonly snapshots: () => SnapshotRequests;
}

export interface Served {
  /** For the log: `http://127.0.0.1:7788` of each. */
  readonly addresses: { readonly admin: string; readonly metrics?: string };
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** Throws what `startAdminServer` and `startMetricsServer` throw; nothing is open then. */
export async function serve(config: Pick<Config, "admin" | "metrics">, daemon: ServedDaemon): Promise<Served> {
  const history = new History(daemon.sample);
  const open: Pick<Listening, "close">[] = [];
  const close = async () => {
    history.close();
    await Promise.all(open.map((each) => each.close()));
  };
  try {
    const admin = await startAdminServer({
      ...config.admin,
      status: daemon.status,
      history,
      stop: daemon.stop,
      snapshot: async (table, where) => daemon.snapshots().begin(table, where),
      cancelSnapshot: async (table) => daemon.snapshots().cancel(table),
    });
    open.push(admin);
    const addresses: { admin: string; metrics?: string } = { admin: admin.address };
    if (config.metrics !== null) {
      const metrics = await startMetricsServer(config.metrics, daemon.status);
      open.push(metrics);
      addresses.metrics = metrics.address;
    }
    return { addresses, notes: admin.notes, close };
  } catch (error) {
    await close();
    throw error;
  }
}
