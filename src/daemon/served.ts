// Everything that the daemon serves over HTTP, opened and closed together: the admin address, and that of metrics where
// there is one.
import type { Config } from "../config/config.ts";
import { startAdminServer } from "./admin-server.ts";
import { startMetricsServer } from "./probes.ts";
import type { SnapshotRequests } from "./snapshot-requests.ts";
import type { DaemonStatus } from "./status.ts";

export interface ServedDaemon {
  readonly status: () => DaemonStatus;
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
  const admin = await startAdminServer({
    ...config.admin,
    status: daemon.status,
    stop: daemon.stop,
    snapshot: async (table, where) => daemon.snapshots().begin(table, where),
    cancelSnapshot: async (table) => daemon.snapshots().cancel(table),
  });
  try {
    const metrics = config.metrics === null ? null : await startMetricsServer(config.metrics, daemon.status);
    return {
      addresses: { admin: admin.address, ...(metrics === null ? {} : { metrics: metrics.address }) },
      notes: admin.notes,
      async close() {
        await Promise.all([admin.close(), metrics?.close()]);
      },
    };
  } catch (error) {
    await admin.close();
    throw error;
  }
}
