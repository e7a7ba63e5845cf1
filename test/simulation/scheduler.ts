// One queue of everything that happens, in the order of a virtual clock. A timer or an answer belongs to the process it
// is meant for: one that was killed gets nothing any more, one that is stopped gets it later.
import { VirtualTimers } from "./virtual-timers.ts";

/** A daemon's process. */
export interface Process {
  readonly name: string;
  dead: boolean;
  paused: boolean;
}

export interface Task {
  readonly at: number;
  readonly order: number;
  readonly owner: Process | null;
  run: (() => void) | null;
}

// A macrotask of the real event loop: by then all promises that could settle have settled.
const realSetImmediate = setImmediate;
const settle = () => new Promise<void>((resolve) => realSetImmediate(resolve));

export class Scheduler {
  /** Milliseconds since the start of the run. */
  now = 0;
  /** Whose code is running. */
  current: Process | null = null;
  readonly #heap: Task[] = [];
  readonly #deferred = new Map<Process, Task[]>();
  #order = 0;
  /** Tasks that were run. */
  steps = 0;

  /** `owner` is null for what servers and network do. */
  after(delayMs: number, owner: Process | null, run: () => void): Task {
    const task = { at: this.now + Math.max(0, delayMs), order: this.#order++, owner, run };
    this.#push(task);
    return task;
  }

  cancel(task: Task): void {
    task.run = null;
  }

  resume(process: Process): void {
    process.paused = false;
    for (const { owner, run } of this.#deferred.get(process) ?? []) {
      if (run !== null) {
        this.after(0, owner, run);
      }
    }
    this.#deferred.delete(process);
  }

  /** Runs until `done`, or until nothing is left or the time is up; resolves whether it was done. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    const timers = new VirtualTimers(this);
    timers.install();
    try {
      for (;;) {
        if (done()) {
          return true;
        }
        const task = this.#pop();
        if (task === undefined || task.at > limitMs) {
          return false;
        }
        const { owner } = task;
        if (task.run === null || owner?.dead === true) {
          continue;
        }
        this.now = task.at;
        if (owner?.paused === true) {
          const waiting = this.#deferred.get(owner);
          waiting === undefined ? this.#deferred.set(owner, [task]) : waiting.push(task);
          continue;
        }
        const { run } = task;
        task.run = null;
        await this.as(owner, run);
      }
    } finally {
      timers.restore();
    }
  }

  /** Runs a step of a process, and all that follows from it at once. */
  async as(owner: Process | null, run: () => void): Promise<void> {
    this.steps++;
    this.current = owner;
    run();
    await settle();
    this.current = null;
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let at = heap.push(task) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(task, heap[parent]!)) {
        break;
      }
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = task;
  }

  #pop(): Task | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) {
      return first;
    }
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) {
        break;
      }
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) {
        child++;
      }
      if (!isBefore(heap[child]!, last)) {
        break;
      }
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Task, b: Task): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
