// What `afterimage types` writes for a stream under test: written, compiled with a program that uses it, and loaded.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { CapturedStream } from "./captured-stream.ts";
import type { SpawnedDaemon } from "./daemon.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export class GeneratedTypes {
  readonly #stream: CapturedStream;
  readonly #folder = mkdtempSync(join(tmpdir(), "afterimage-types-"));
  #loaded = 0;

  constructor(stream: CapturedStream) {
    this.#stream = stream;
    onTestFinished(() => rmSync(this.#folder, { recursive: true }));
  }

  /** `afterimage types --out tables.ts ARGS`, with its exit code. */
  async run(...args: string[]): Promise<{ code: number | null; command: SpawnedDaemon }> {
    const command = this.#stream.ask("types", {}, ["--out", this.#file, ...args]);
    return { code: (await command.exited()).code, command };
  }

  /** The module as it is now. */
  async load() {
    const copy = join(this.#folder, `loaded-${this.#loaded++}.ts`);
    const sdk = JSON.stringify(join(ROOT, "src/sdk/index.ts"));
    writeFileSync(copy, readFileSync(this.#file, "utf8").replace('"afterimage-cdc/sdk"', sdk));
    return import(copy);
  }

  /** What the compiler says of a program that imports `./tables.ts`; empty when all is well. */
  compile(program: string): string {
    writeFileSync(join(this.#folder, "program.ts"), program);
    const paths = { "afterimage-cdc/sdk": [join(ROOT, "src/sdk/index.ts")] };
    const compilerOptions = { paths, typeRoots: [join(ROOT, "node_modules/@types")] };
    const settings = { extends: join(ROOT, "tsconfig.json"), compilerOptions, include: ["program.ts"] };
    writeFileSync(join(this.#folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(this.#folder, "tsconfig.json"), JSON.stringify(settings));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    try {
      execFileSync(process.execPath, [tsc, "-p", this.#folder], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
      return "";
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  }

  get #file(): string {
    return join(this.#folder, "tables.ts");
  }
}
