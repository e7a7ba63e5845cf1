// A whole status with numbers in it, for tests of what shows one.
import type { DaemonStatus } from "../../src/daemon/status.ts";

/** Streaming, with a snapshot under way, an error behind it and a slot that keeps WAL; `more` over it. */
export const statusWith = (more: Partial<DaemonStatus> = {}): DaemonStatus => ({
  version: "0.1.0",
  pid: 42,
  stream: "shop",
  state: "snapshotting",
  since: "2026-11-22T18:00:00.000Z",
  position: {
    epoch: 2,
    sequence: 4711,
    endLsn: "0/16B3780",
    last: { commitLsn: "0/16B3748", index: 3, timestamp: "2026-11-22T18:00:30.500Z" },
  },
  lag: { bytes: 1_258_291, seconds: 0.25, retainedBytes: 16_777_216 },
  wal: {
    level: "warn",
    retainedBytes: 16_777_216,
    bytesPerSecond: 1024,
    leftBytes: 33_554_432,
    secondsLeft: 32_768,
    awaitedStandbys: null,
  },
  eventsPerSecond: 119.6,
  eventsPublished: 4711,
  transactions: { published: 30, bytes: 1_000_000, seconds: 0.2 },
  snapshot: [
    {
      table: "public.items",
      rows: 700,
      estimatedRows: 1000,
      rowsPerSecond: 100,
      secondsLeft: 3,
      waitingFor: null,
    },
  ],
  tables: [
    { table: "public.orders", topic: "shop.public.orders", events: 4000 },
    { table: "public.items", topic: "shop.public.items", events: 711 },
  ],
  messages: { topic: "shop.messages", published: 5, notTransactional: 1 },
  notes: [],
  lastError: null,
  errors: [],
  errorCounts: { KAFKA_UNREACHABLE: 2 },
  walGuard: { warn: 10_000_000, alert: 50_000_000, giveUp: 100_000_000 },
  standbyDaemons: 1,
  ...more,
});

/** Before anything is known. */
export const unknownStatus = (): DaemonStatus =>
  statusWith({
    state: "preflight",
    position: null,
    lag: { bytes: null, seconds: null, retainedBytes: null },
    wal: null,
    snapshot: [],
    tables: [],
    messages: null,
    errorCounts: {},
    walGuard: { warn: 1, alert: 2, giveUp: null },
    standbyDaemons: null,
  });
