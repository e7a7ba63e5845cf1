// By which names a setting goes: its path, its environment variable, its flag.
import { SETTINGS, type Setting } from "./settings.ts";

const BY_PATH = new Map(SETTINGS.map((setting) => [setting.path, setting]));

/** The setting a path belongs to: `kafka.brokers.0` to `kafka.brokers`. */
export function settingAt(path: readonly PropertyKey[]): Setting | undefined {
  for (let length = path.length; length > 0; length--) {
    const setting = BY_PATH.get(path.slice(0, length).join("."));
    if (setting !== undefined) return setting;
  }
  return undefined;
}

/** `kafka.clientId` to `AFTERIMAGE_KAFKA_CLIENT_ID`. */
export function environmentName(path: string): string {
  return `AFTERIMAGE_${path
    .replaceAll(/[A-Z]/g, (letter) => `_${letter}`)
    .replaceAll(".", "_")
    .toUpperCase()}`;
}

/** `--kafka <brokers>` to `--kafka`. */
export function flagName(setting: Setting): string | undefined {
  return setting.flag?.split(" ", 1)[0];
}
