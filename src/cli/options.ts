// From command-line flags to configuration sources: which flags a command takes, and which file is read.
import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import type { ConfigSources } from "../config/config.ts";
import { flagName } from "../config/setting-names.ts";
import { SETTINGS } from "../config/settings.ts";

export const DEFAULT_FILE = "afterimage.yaml";

/** What commander gives a command: `adminPort`, `config` and so on. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** Adds `--config` (unless no file is read) and the flags of these settings (all of them by default). */
export function withSettings(command: Command, paths?: readonly string[], { file = true } = {}): Command {
  if (file) command.addOption(new Option("-c, --config <file>", `YAML file (${DEFAULT_FILE} when it is there)`));
  for (const { path, flag, about } of SETTINGS) {
    if (flag !== undefined && (paths === undefined || paths.includes(path))) {
      command.addOption(new Option(flag, about));
    }
  }
  return command;
}

export function sourcesOf(flags: Flags, env: NodeJS.ProcessEnv = process.env): ConfigSources {
  const given: Record<string, string> = {};
  for (const setting of SETTINGS) {
    const name = flagName(setting);
    const value = name === undefined ? undefined : flags[camelCase(name)];
    if (typeof value === "string") given[setting.path] = value;
  }
  const named = flags.config ?? (env.AFTERIMAGE_CONFIG || undefined);
  const file = typeof named === "string" ? named : existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined;
  return { file, env, flags: given };
}

/** `--admin-port` to `adminPort`, as commander names it. */
function camelCase(name: string): string {
  return name.replace(/^--/, "").replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
