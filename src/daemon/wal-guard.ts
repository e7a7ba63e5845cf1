// Watches what the slot makes the server keep, also while nothing is streamed, which is when it grows: warns, then says
// it louder and again, then, only where that is configured, has the slot given up before the server does it.
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import type { AfterimageError } from "../errors.ts";
import { withSql } from "../source/session.ts";
import { dropSlot, waitUntilInactive } from "../source/slot.ts";
import { readRetention, type WalRetention } from "../source/wal-retention.ts";
import { codeOf } from "./error-policy.ts";
import { slotServer } from "./slot-server.ts";
import type { WalStatus } from "./status.ts";
import { notFailover, slotGivenUp, standbyAwaited, WalJudge, walRetained } from "./wal-judge.ts";

export interface GuardParts {
  readonly config: () => Config;
  /** What is asked over the running session's connection; null when there is none. */
  readonly ask: () => Promise<WalRetention | null> | null;
  readonly log: (severity: "info" | "warn" | "error", error: AfterimageError | string) => void;
  /** Ends the session, and has a new epoch begun; not called where `walGuard.giveUp` is not set. */
  readonly giveUp: (error: AfterimageError) => void;
}

const LOOK_EVERY_MS = 5_000;
/** An alert that stands is said again. */
const AGAIN_MS = 300_000;
/** Our own walsender ends with the session; who holds the slot after that is another daemon. */
const INACTIVE_MS = 10_000;

export class WalGuard {
  readonly #parts: GuardParts;
  readonly #judge: WalJudge;
  #said: WalStatus["level"] = "ok";
  #saidAt = Number.NEGATIVE_INFINITY;
  #awaited: string | null = null;
  #saidFailover = false;
  /** As it was seen last; null while the server can't be asked. */
  status: WalStatus | null = null;
  /** Daemons of the stream that stand by; null likewise. */
  standbyDaemons: number | null = null;

  constructor(parts: GuardParts) {
    this.#parts = parts;
    this.#judge = new WalJudge(parts.config().walGuard);
  }

  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(signal);
      await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined); // the loop ends
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { config, ask } = this.#parts;
    const { postgres, stream } = config();
    const afresh = () =>
      withSql(
        slotServer(postgres),
        `afterimage ${stream} wal guard`,
        (client) => readRetention(client, postgres.slot, stream),
        signal,
      );
    // Whoever streams or tries to says what is wrong with the server.
    const retention = await (ask() ?? afresh()).catch(() => null);
    this.standbyDaemons = retention?.standbyDaemons ?? null;
    if (retention === null || signal.aborted) {
      this.status = null;
      return;
    }
    this.status = this.#judge.judge(retention, performance.now());
    this.#tell(postgres.slot, this.status);
    if (postgres.failover && retention.failover === false && !this.#saidFailover) {
      this.#saidFailover = true;
      this.#parts.log("warn", notFailover(postgres.slot));
    }
    if (this.status.level === "give-up") {
      this.#parts.giveUp(slotGivenUp(postgres.slot, retention));
    }
  }

  #tell(slot: string, wal: WalStatus): void {
    const { log } = this.#parts;
    const { level, awaitedStandbys } = wal;
    const now = performance.now();
    if (level !== this.#said || (level === "alert" && now - this.#saidAt > AGAIN_MS)) {
      if (level !== "ok") {
        log(level === "warn" ? "warn" : "error", walRetained(slot, wal));
      } else {
        log("info", `slot ${slot} keeps little WAL again`);
      }
      this.#said = level;
      this.#saidAt = now;
    }
    if (awaitedStandbys !== null && awaitedStandbys !== this.#awaited) {
      log("error", standbyAwaited(slot, awaitedStandbys));
    }
    this.#awaited = awaitedStandbys;
  }
}

/** Drops the slot once nobody streams from it; false when another daemon does. */
export async function dropGivenUp({ stream, postgres }: Config, signal: AbortSignal): Promise<boolean> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(INACTIVE_MS)]);
  return withSql(
    slotServer(postgres),
    `afterimage ${stream} wal guard`,
    async (client) => {
      await waitUntilInactive(client, postgres.slot, patience);
      try {
        await dropSlot(client, postgres.slot);
        return true;
      } catch (error) {
        if (codeOf(error) === "SLOT_IN_USE") {
          return false;
        }
        throw error;
      }
    },
    signal,
  );
}
