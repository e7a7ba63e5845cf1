// What the product takes time from, replaced while a simulation runs: timers, `performance.now()`, `Date.now()` and the
// promised timers of node. Each timer belongs to the process whose code sets it.
import { createRequire, syncBuiltinESMExports } from "node:module";
import type { Scheduler, Task } from "./scheduler.ts";

const promised = createRequire(import.meta.url)("node:timers/promises") as { setTimeout: unknown };

/** Where the wall clock stands when a run begins. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

type Repeating = { task: Task; over: boolean };

export class VirtualTimers {
  readonly #scheduler: Scheduler;
  #restore: () => void = () => undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  install(): void {
    const scheduler = this.#scheduler;
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
    const { now } = Date;
    const sleep = promised.setTimeout;
    const after = (run: () => void, ms: number) => scheduler.after(ms, scheduler.current, run);
    const clear = (handle: Task | Repeating | undefined) => {
      if (handle !== undefined && "task" in handle) {
        handle.over = true;
        scheduler.cancel(handle.task);
      } else if (handle !== undefined) {
        scheduler.cancel(handle);
      }
    };
    const every = (run: () => void, ms: number): Repeating => {
      const owner = scheduler.current;
      const tick = () => {
        repeating.task = scheduler.after(ms, owner, tick);
        run();
      };
      const repeating: Repeating = { task: scheduler.after(ms, owner, tick), over: false };
      return repeating;
    };
    Object.assign(globalThis, { setTimeout: after, clearTimeout: clear, setInterval: every, clearInterval: clear });
    Date.now = () => Math.floor(EPOCH_MS + scheduler.now);
    Object.defineProperty(performance, "now", { value: () => scheduler.now, configurable: true });
    promised.setTimeout = (ms: number, value: unknown, options?: { signal?: AbortSignal }) =>
      new Promise((resolve, reject) => {
        const task = after(() => resolve(value), ms);
        options?.signal?.addEventListener("abort", () => {
          scheduler.cancel(task);
          reject(options.signal?.reason);
        });
      });
    syncBuiltinESMExports();
    this.#restore = () => {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
      Date.now = now;
      Reflect.deleteProperty(performance, "now");
      promised.setTimeout = sleep;
      syncBuiltinESMExports();
    };
  }

  restore(): void {
    this.#restore();
  }
}
