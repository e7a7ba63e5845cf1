// The processes of a history: daemons and the view, with all they said and how each of them ended.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../dev/servers/process.ts";
import { type SpawnedDaemon, spawnCli, spawnNode } from "../support/daemon.ts";
import type { ProcessExit } from "./evidence.ts";
import type { ViewSettings } from "./view.ts";

const VIEW = fileURLToPath(new URL("view.ts", import.meta.url));

/** What goes on while a process ends, and how it may end then. */
export type Circumstance = Pick<ProcessExit, "during" | "allowed">;

interface Started {
  readonly process: ProcessExit["process"];
  readonly spawned: SpawnedDaemon;
  readonly adminPort: number | null;
  /** It kills itself: a failpoint was armed. */
  readonly armed: readonly string[];
  ended: (Circumstance & Pick<ProcessExit, "sent">) | null;
}

export class Processes {
  readonly #settings: Readonly<Record<string, string>>;
  readonly #view: ViewSettings;
  readonly #folder: string;
  readonly #all: Started[] = [];
  #circumstance: Circumstance = { during: null, allowed: [] };

  /** `settings`: the daemon's environment. `folder`: for the view's settings. */
  constructor(settings: Readonly<Record<string, string>>, view: ViewSettings, folder: string) {
    this.#settings = settings;
    this.#view = view;
    this.#folder = folder;
  }

  async startDaemon(environment: Record<string, string> = {}): Promise<SpawnedDaemon> {
    const adminPort = await freePort();
    const spawned = spawnCli(["start"], {
      ...this.#settings,
      ...environment,
      AFTERIMAGE_ADMIN_PORT: String(adminPort),
    });
    this.#add("daemon", spawned, adminPort, environment);
    return spawned;
  }

  /** Another command with the daemon's settings, but of these servers; it is not judged as a process of the history. */
  ask(args: readonly string[], { url, brokers }: { url: string; brokers: readonly string[] }): SpawnedDaemon {
    return spawnCli([...args], {
      ...this.#settings,
      AFTERIMAGE_POSTGRES_URL: url,
      AFTERIMAGE_KAFKA_BROKERS: brokers.join(","),
    });
  }

  startView(environment: Record<string, string> = {}): SpawnedDaemon {
    const file = join(this.#folder, "view.json");
    writeFileSync(file, JSON.stringify(this.#view));
    const spawned = spawnNode(VIEW, [file], environment);
    this.#add("view", spawned, null, environment);
    return spawned;
  }

  /** From now on; null between rounds. */
  during(circumstance: Circumstance | null): void {
    this.#circumstance = circumstance ?? { during: null, allowed: [] };
  }

  /** Of the daemons that run. */
  adminPorts(): number[] {
    return this.#all.filter((one) => one.adminPort !== null && isRunning(one)).map(({ adminPort }) => adminPort!);
  }

  /** How those that have ended did so. */
  exits(): ProcessExit[] {
    return this.#all
      .filter((one) => !isRunning(one))
      .map(({ process, spawned, ended, armed }) => ({
        process,
        code: spawned.child.exitCode,
        signal: spawned.child.signalCode,
        errorCode: /^([A-Z][A-Z0-9_]+): /m.exec(spawned.stderr())?.[1] ?? null,
        sent: [...armed, ...(ended?.sent ?? spawned.sent)],
        during: ended?.during ?? null,
        allowed: ended?.allowed ?? [],
      }));
  }

  /** Everything each of them wrote, by name. */
  outputs(): Map<string, string> {
    return new Map(this.#all.map(({ process, spawned }, index) => [`${process}-${index}.log`, spawned.output()]));
  }

  /** The one that runs as `process` and was started last; null when none does. */
  running(process: ProcessExit["process"]): SpawnedDaemon[] {
    return this.#all.filter((one) => one.process === process && isRunning(one)).map(({ spawned }) => spawned);
  }

  #add(
    process: ProcessExit["process"],
    spawned: SpawnedDaemon,
    adminPort: number | null,
    environment: Readonly<Record<string, string>>,
  ): void {
    const armed = /:kill$/.test(environment.AFTERIMAGE_FAILPOINT ?? "") ? ["SIGKILL"] : [];
    const started: Started = { process, spawned, adminPort, armed, ended: null };
    this.#all.push(started);
    // Signals that come later did not end it.
    spawned.child.once("exit", () => {
      started.ended = { ...this.#circumstance, sent: [...spawned.sent] };
    });
  }

  /** None runs, and the last one was ended by a signal that it was sent. */
  wasKilled(process: ProcessExit["process"]): boolean {
    const last = this.exits().findLast((exit) => exit.process === process);
    return (
      this.running(process).length === 0 &&
      last !== undefined &&
      last.signal !== null &&
      last.sent.includes(last.signal)
    );
  }

  /** SIGKILL to all that still run. */
  async killAll(): Promise<void> {
    await Promise.all(this.#all.filter(isRunning).map(({ spawned }) => spawned.kill()));
  }
}

function isRunning({ spawned: { child } }: Started): boolean {
  return child.exitCode === null && child.signalCode === null;
}
