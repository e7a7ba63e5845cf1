// interval: three numbers that Postgres keeps apart, since a month has no fixed number of days, nor a day of hours.
import { type Decoder, unreadable, unrepresentable } from "./decoder.ts";

export interface Interval {
  readonly months: number;
  readonly days: number;
  readonly microseconds: bigint;
}

// intervalstyle=postgres: `1 year -2 mons +3 days -04:05:06.789`
const TEXT =
  /^(?:([+-]?\d+) years?)? ?(?:([+-]?\d+) mons?)? ?(?:([+-]?\d+) days?)? ?(?:([+-])?(\d{2,}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/;

export const interval: Decoder<Interval> = {
  decode(text) {
    const match = text === "" ? null : TEXT.exec(text);
    if (match === null) {
      throw text === "infinity" || text === "-infinity"
        ? unrepresentable("An infinite interval")
        : unreadable("interval");
    }
    const [, years = "0", months = "0", days = "0", sign, hours = "0", minutes = "0", seconds = "0", fraction = ""] =
      match;
    const time =
      (BigInt(hours) * 3600n + BigInt(minutes) * 60n + BigInt(seconds)) * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
    return {
      months: Number(years) * 12 + Number(months),
      days: Number(days),
      microseconds: sign === "-" ? -time : time,
    };
  },
};
