// Decoded values → the text that Postgres prints for them, or reads as them: what decoders are tested against.
import type { Interval } from "../../src/sdk/values/interval.ts";
import type { Range } from "../../src/sdk/values/range.ts";
import type { Timestamp } from "../../src/sdk/values/timestamp.ts";

// biome-ignore lint/suspicious/noExplicitAny: values of any type
export type Print = (value: any) => string;

export const asIs: Print = (value) => String(value);

export const printBool: Print = (value: boolean) => (value ? "t" : "f");

export const printFloat: Print = (value: number) => (Object.is(value, -0) ? "-0" : String(value));

export const printBytes: Print = (value: Uint8Array) => `\\x${Buffer.from(value).toString("hex")}`;

export const printLsn: Print = (value: bigint) =>
  `${(value >> 32n).toString(16)}/${(value & 0xffffffffn).toString(16)}`.toUpperCase();

export const printTimestamp: Print = (value: Timestamp) => {
  const [, year, rest] = /^([+-]?\d+)-(.*)\.\d+Z$/.exec(value.toISOString())!;
  const era = Number(year) > 0 ? "" : " BC";
  const shown = String(Number(year) > 0 ? Number(year) : 1 - Number(year)).padStart(4, "0");
  const micros = (((value.getTime() % 1000) + 1000) % 1000) * 1000 + value.microseconds;
  const fraction = micros === 0 ? "" : `.${String(micros).padStart(6, "0").replace(/0+$/, "")}`;
  return `${shown}-${rest!.replace("T", " ")}${fraction}+00${era}`;
};

export const printInterval: Print = ({ months, days, microseconds }: Interval) => {
  const time = microseconds < 0n ? -microseconds : microseconds;
  const seconds = time / 1_000_000n;
  const two = (part: bigint) => String(part).padStart(2, "0");
  const [years, rest] = [Math.trunc(months / 12), months % 12];
  const parts: string[] = [];
  let wasNegative = false;
  const part = (count: number, noun: string) => {
    if (count !== 0) {
      parts.push(`${wasNegative && count > 0 ? "+" : ""}${count} ${noun}${count === 1 ? "" : "s"}`);
      wasNegative = count < 0;
    }
  };
  part(years, "year");
  part(rest, "mon");
  part(days, "day");
  if (microseconds !== 0n || parts.length === 0) {
    const fraction =
      time % 1_000_000n === 0n
        ? ""
        : `.${String(time % 1_000_000n)
            .padStart(6, "0")
            .replace(/0+$/, "")}`;
    const sign = microseconds < 0n ? "-" : wasNegative ? "+" : "";
    parts.push(`${sign}${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction}`);
  }
  return parts.join(" ");
};

const printPoint: Print = ({ x, y }) => `(${printFloat(x)},${printFloat(y)})`;
export const printGeometric: Readonly<Record<string, Print>> = {
  point: printPoint,
  line: ({ a, b, c }) => `{${[a, b, c].map(printFloat).join(",")}}`,
  lseg: (ends) => `[${ends.map(printPoint).join(",")}]`,
  box: (corners) => corners.map(printPoint).join(","),
  path: ({ closed, points }) => (closed ? `(${points.map(printPoint)})` : `[${points.map(printPoint)}]`),
  polygon: (points) => `(${points.map(printPoint).join(",")})`,
  circle: ({ center, radius }) => `<${printPoint(center)},${printFloat(radius)}>`,
};

/** Quoted where Postgres's array_out quotes. The value alone doesn't tell its depth: a polygon is an array here too. */
export const printArray =
  (element: Print, delimiter = ",", depth = 1): Print =>
  (value: readonly unknown[]) => {
    const item = (one: unknown): string => {
      if (one === null) {
        return "NULL";
      }
      const text = element(one);
      const isPlain = text !== "" && !/^null$/i.test(text) && !/["\\{}\s]/.test(text) && !text.includes(delimiter);
      return isPlain ? text : `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
    };
    const level = (items: readonly unknown[], left: number): string =>
      `{${items.map((one) => (left > 1 ? level(one as unknown[], left - 1) : item(one))).join(delimiter)}}`;
    return level(value, depth);
  };

// As range_out and record_out quote.
const quoted = (text: string): string =>
  text === "" || /["\\(),[\]\s]/.test(text) ? `"${text.replaceAll(/["\\]/g, "$&$&")}"` : text;

export const printRange =
  (bound: Print): Print =>
  (value: Range<unknown>) => {
    if (value.empty) {
      return "empty";
    }
    const side = (one: unknown) => (one === null ? "" : quoted(bound(one)));
    return `${value.lowerInclusive ? "[" : "("}${side(value.lower)},${side(value.upper)}${value.upperInclusive ? "]" : ")"}`;
  };

export const printMultirange =
  (bound: Print): Print =>
  (value: readonly Range<unknown>[]) =>
    `{${value.map(printRange(bound)).join(",")}}`;

export const printComposite =
  (prints: readonly Print[]): Print =>
  (value: object) =>
    `(${Object.values(value)
      .map((one, at) => (one === null ? "" : quoted(prints[at]!(one))))
      .join(",")})`;

export const printHstore: Print = (value: Record<string, string | null>) =>
  Object.entries(value)
    .map(([name, one]) => `${inQuotes(name)}=>${one === null ? "NULL" : inQuotes(one)}`)
    .join(", ");

const inQuotes = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
