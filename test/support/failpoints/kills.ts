// Kills processes at failpoints, each in a test of its own, and keeps account of which names were killed at.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAILPOINTS, type Failpoint } from "../../../src/failpoint.ts";
import type { SpawnedDaemon } from "../daemon.ts";
import { armed, readCounts } from "./armed.ts";

/** A name, or a name and at which time of passing it. */
export type Moment = Failpoint | readonly [name: Failpoint, nth: number];

export class Kills {
  readonly #folder = mkdtempSync(join(tmpdir(), "afterimage-failpoints-"));
  readonly #killedAt = new Set<Failpoint>();

  /** How many processes were killed. */
  count = 0;

  get countsFile(): string {
    return join(this.#folder, "counts");
  }

  /**
   * The process that `spawn` starts with this environment has to die at that moment; `provoke` brings the moment about
   * where it does not come by itself.
   */
  async at(
    moment: Moment,
    spawn: (environment: Record<string, string>) => SpawnedDaemon,
    provoke: (process: SpawnedDaemon) => unknown = () => undefined,
  ): Promise<void> {
    const [name, nth] = typeof moment === "string" ? [moment, 1] : moment;
    const process = spawn(armed(name, nth, "kill", this.countsFile));
    try {
      await provoke(process);
      const { signal } = await process.exited();
      expect(signal, process.output()).toBe("SIGKILL");
      this.#killedAt.add(name);
      this.count++;
    } catch (cause) {
      throw new Error(`It was not killed at ${name}; it said:\n${process.output()}`, { cause });
    } finally {
      await process.kill();
    }
  }

  /** One test for each moment, in this order. */
  each(moments: readonly Moment[], kill: (moment: Moment) => Promise<void>): void {
    test.each(moments.map((moment) => ({ moment, named: [moment].flat().join(" ") })))(
      "killed at $named",
      ({ moment }) => kill(moment),
    );
  }

  /** Names that no process was killed at. */
  missing(): Failpoint[] {
    return FAILPOINTS.filter((name) => !this.#killedAt.has(name));
  }

  /** Names that no process reached, as the counts of all of them tell. */
  unreached(): Failpoint[] {
    const counts = readCounts(this.countsFile);
    return FAILPOINTS.filter((name) => counts.get(name) === 0);
  }

  /** How often failpoints were reached, all names and processes together. */
  reached(): number {
    return [...readCounts(this.countsFile).values()].reduce((sum, count) => sum + count, 0);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
