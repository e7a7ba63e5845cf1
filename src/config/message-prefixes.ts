// Which messages a list of patterns means, by their prefixes: "outbox", "audit.*", "*".

const compiled = new WeakMap<readonly string[], RegExp>();

/** Whether one of the patterns is this prefix; `*` stands for any characters, case counts. */
export function matchesPrefix(patterns: readonly string[], prefix: string): boolean {
  let matches = compiled.get(patterns);
  if (matches === undefined) {
    const escaped = (piece: string) => piece.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
    const sources = patterns.map((pattern) => pattern.split("*").map(escaped).join(".*"));
    matches = sources.length === 0 ? /(?!)/ : new RegExp(`^(?:${sources.join("|")})$`, "s");
    compiled.set(patterns, matches);
  }
  return matches.test(prefix);
}
