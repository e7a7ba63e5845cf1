// The processes of a history: daemons and the view, with all they said and how each of them ended.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../dev/servers/process.ts";
import { type SpawnedDaemon, spawnCli, spawnNode } from "../support/daemon.ts";
import type { ProcessExit } from "./evidence.ts";
import type { ViewSettings } from "./view.ts";

const VIEW = fileURLToPath(new URL("view.ts", import.meta.url));

interface Started {
  readonly process: ProcessExit["process"];
  readonly spawned: SpawnedDaemon;
  readonly adminPort: number | null;
}

export class Processes {
  readonly #settings: Readonly<Record<string, string>>;
  readonly #view: ViewSettings;
  readonly #folder: string;
  readonly #all: Started[] = [];

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
    this.#all.push({ process: "daemon", spawned, adminPort });
    return spawned;
  }

  startView(environment: Record<string, string> = {}): SpawnedDaemon {
    const file = join(this.#folder, "view.json");
    writeFileSync(file, JSON.stringify(this.#view));
    const spawned = spawnNode(VIEW, [file], environment);
    this.#all.push({ process: "view", spawned, adminPort: null });
    return spawned;
  }

  /** Of the daemons that run. */
  adminPorts(): number[] {
    return this.#all.filter((one) => one.adminPort !== null && isRunning(one)).map(({ adminPort }) => adminPort!);
  }

  /** How those that have ended did so. */
  exits(): ProcessExit[] {
    return this.#all
      .filter((one) => !isRunning(one))
      .map(({ process, spawned }) => ({
        process,
        code: spawned.child.exitCode,
        signal: spawned.child.signalCode,
        errorCode: /^([A-Z][A-Z0-9_]+): /m.exec(spawned.stderr())?.[1] ?? null,
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

  /** SIGKILL to all that still run. */
  async killAll(): Promise<void> {
    await Promise.all(this.#all.filter(isRunning).map(({ spawned }) => spawned.kill()));
  }
}

function isRunning({ spawned: { child } }: Started): boolean {
  return child.exitCode === null && child.signalCode === null;
}
