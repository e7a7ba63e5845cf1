// What several faults have in common: ending and starting the processes, and waiting for what they say.

import { existsSync, readFileSync } from "node:fs";
import type { Exit, SpawnedDaemon } from "../../support/daemon.ts";
import { waitFor } from "../../support/wait-for.ts";
import { inTime } from "../deadline.ts";
import type { Fault, World } from "../world.ts";

export type Drawing = Parameters<Fault["plan"]>[0];

/** A state of the daemon's, as its log has it. */
export type State = "streaming" | "standby" | "stopped";

const STATE_MS = 60_000;

/** Waits until the daemon says that it entered the state, from that many characters of its output on. */
export async function enters(daemon: SpawnedDaemon, state: State, from = 0): Promise<void> {
  const entered = `"state":"${state}"`;
  await waitFor(
    () => {
      if (daemon.output().includes(entered, from)) return true;
      const { exitCode, signalCode } = daemon.child;
      if (exitCode !== null || signalCode !== null) {
        throw new Error(
          `It ended (${exitCode ?? signalCode}) before it was ${state}:\n${daemon.output().slice(-2000)}`,
        );
      }
      return false;
    },
    { what: `a daemon that is ${state}`, timeout: STATE_MS },
  ).catch((cause) => {
    throw new Error(`The daemon did not become ${state}; it said:\n${daemon.output().slice(-2000)}`, { cause });
  });
}

/** docs/cli.md promises 10 s; the rest is for a machine that is busy. */
const STOP_MS = 15_000;

/** Asks it to end, which it must do in time. Gives how it ended. */
export async function stopProcess(
  running: SpawnedDaemon,
  what: string,
  { signal = "SIGTERM", deadlineMs = STOP_MS }: { signal?: NodeJS.Signals; deadlineMs?: number } = {},
): Promise<Exit> {
  try {
    return await inTime(running.kill(signal), deadlineMs, `The ${what} that was sent ${signal}`);
  } catch (error) {
    await running.kill();
    throw error;
  }
}

export async function restartDaemon(world: World, downMs: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  await stopProcess(world.daemon, "daemon", { signal });
  await world.sleep(downMs);
  await world.startDaemon();
}

export async function restartView(world: World, downMs: number): Promise<void> {
  await world.view.kill();
  await world.sleep(downMs);
  await world.startView();
}

/** The slot's connection is ended by the server; false when there is none. */
export async function terminateWalsender(world: World): Promise<boolean> {
  const ended = await world.sql(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
      WHERE slot_name = 'afterimage_${world.stream}' AND active`,
  );
  return ended.length > 0;
}

/** Waits up to `ms` for something that need not happen. */
export async function within(world: World, ms: number, happened: () => boolean): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (!happened()) {
    if (performance.now() > deadline) return false;
    await world.sleep(20);
  }
  return true;
}

export const number = (value: string | number | undefined): number => {
  if (typeof value !== "number") throw new Error(`A number is missing among the fault's parameters: ${value}.`);
  return value;
};

/** By SIGSTOP; never known where there is no /proc. */
export function isStopped({ pid }: SpawnedDaemon): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && /^\d+ \(.*\) T /.test(readFileSync(file, "utf8"));
}

export const hasEnded = ({ child }: SpawnedDaemon): boolean => child.exitCode !== null || child.signalCode !== null;
