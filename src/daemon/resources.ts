// What a session opens and has to close again, and the socket as its pipeline reads it.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import type { FrameSource } from "../pipeline/parts.ts";
import { Spool } from "../pipeline/spool.ts";
import { StreamedSource } from "../pipeline/streamed-source.ts";
import type { Before } from "./catalog-watch.ts";
import type { EpochWish } from "./new-epoch.ts";
import type { PlannedSkip } from "./skip-snapshots.ts";

/** What is known of the connections while a session is opened. */
export interface Lost {
  /** The first loss. */
  error?: Error;
  onLost: (error: Error) => void;
  /** The connection that makes publication and slot. */
  catalog: pg.Client | null;
  /** The one that makes the slot, when that is on a standby. */
  standby: pg.Client | null;
  /** The attempt has failed: that the stream is then closed is no loss of it. */
  isOver: boolean;
}

export function nothingLost(): Lost {
  const lost: Lost = {
    onLost: (error) => {
      lost.error ??= error;
    },
    catalog: null,
    standby: null,
    isOver: false,
  };
  return lost;
}

/** What is asked of the session beside streaming, and what earlier ones know. */
export interface Asked {
  readonly wish?: EpochWish | null;
  readonly skips?: readonly PlannedSkip[];
  /** Whether snapshots go on. */
  readonly reads?: boolean;
  readonly before?: Before;
}

/** Closes it with the others; at once when an abort has closed those already. */
export async function keep(resources: AsyncDisposableStack, close: () => Promise<void>): Promise<void> {
  if (resources.disposed) {
    await close();
    throw new Error("The start was stopped.");
  }
  resources.defer(close);
}

/**
 * The stream itself, or with `streaming: on` behind a spool. Only call this while streaming from the slot: it empties what
 * an earlier session of that slot left. Throws SPOOL_FULL and SPOOL_FAILED; later ones go to `fail`.
 */
export function openSource(
  stream: FrameSource,
  { spoolFolder, postgres }: Pick<Config, "spoolFolder" | "postgres">,
  systemId: string,
  fail: (error: unknown) => void,
): FrameSource & { close(): void } {
  return spoolFolder === null
    ? {
        consume: (handler) => stream.consume(handler),
        pause: () => stream.pause(),
        resume: () => stream.resume(),
        close: () => undefined,
      }
    : new StreamedSource(stream, Spool.open(spoolFolder, `${systemId}-${postgres.slot}`), fail);
}
