// Times and sizes as people write them: "60s", "500ms", "4MiB".

const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const BYTES = { "": 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** Milliseconds of "500ms", "60s", "2m", "1h"; undefined for anything else. A bare number has no unit but for 0. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12})\s*(ms|s|m|h)$/.exec(text.trim());
  if (match === null) return text.trim() === "0" ? 0 : undefined;
  return Number(match[1]) * MILLISECONDS[match[2] as keyof typeof MILLISECONDS];
}

/** Bytes of 4194304, "4194304" or "4MiB"; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,12})\s*(B|KiB|MiB|GiB)?$/.exec(text.trim());
  if (match === null) return undefined;
  return Number(match[1]) * BYTES[(match[2] ?? "") as keyof typeof BYTES];
}

/** `12.3 MiB`, for people. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
