// What one setting is, as the list in settings.ts holds it.

/** How the text of an environment variable or flag becomes a value; a YAML file has the value already. */
export type SettingKind = "text" | "integer" | "boolean" | "list" | "map";

export interface Setting {
  /** As in the YAML file: `kafka.brokers`. */
  readonly path: string;
  readonly kind: SettingKind;
  /** Completes "expected …". */
  readonly expected: string;
  readonly about: string;
  /** As a user reads it; absent where there is none. */
  readonly default?: string;
  /** Commander's form: `--kafka <list>`. */
  readonly flag?: string;
  /** A value to copy into a message that says how to set it. */
  readonly example?: string;
  /** Never shown in a message. */
  readonly secret?: true;
}
