// Points and what is made of them. Coordinates are doubles and print as such; a geometric type's text has no other spaces.
// https://www.postgresql.org/docs/current/datatype-geometric.html
import { type Decoder, unreadable } from "./decoder.ts";
import { float } from "./numbers.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Ax + By + C = 0 */
export interface Line {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export interface Path {
  readonly closed: boolean;
  readonly points: readonly Point[];
}

export interface Circle {
  readonly center: Point;
  readonly radius: number;
}

const numbers = (text: string): number[] =>
  text
    .replaceAll(/[()[\]{}<>]/g, "")
    .split(",")
    .map(float.decode);

/** The text's points, after its brackets were checked: as many as `count`, any number by default. */
function points(text: string, shape: RegExp, type: string, count?: number): Point[] {
  if (!shape.test(text)) {
    throw unreadable(type);
  }
  const all = numbers(text);
  if (all.length % 2 !== 0 || (count !== undefined && all.length !== count * 2)) {
    throw unreadable(type);
  }
  return Array.from({ length: all.length / 2 }, (_, at) => ({ x: all[at * 2]!, y: all[at * 2 + 1]! }));
}

function numbersOf(text: string, shape: RegExp, type: string): readonly [number, number, number] {
  const all = shape.test(text) ? numbers(text) : [];
  if (all.length !== 3) {
    throw unreadable(type);
  }
  return all as unknown as readonly [number, number, number];
}

export const point: Decoder<Point> = {
  decode: (text) => points(text, /^\([^()]*\)$/, "point", 1)[0]!,
};

export const line: Decoder<Line> = {
  decode(text) {
    const [a, b, c] = numbersOf(text, /^\{[^{}]*\}$/, "line");
    return { a, b, c };
  },
};

/** lseg: its ends; box: its upper right and lower left corners. */
export const twoPoints: Decoder<readonly [Point, Point]> = {
  decode: (text) => points(text, /^\[?\(.*\),\(.*\)\]?$/, "lseg or box", 2) as unknown as readonly [Point, Point],
};

export const path: Decoder<Path> = {
  decode: (text) => ({ closed: text.startsWith("("), points: points(text, /^(\(\(.*\)\)|\[\(.*\)\])$/, "path") }),
};

export const polygon: Decoder<readonly Point[]> = {
  decode: (text) => points(text, /^\(\(.*\)\)$/, "polygon"),
};

export const circle: Decoder<Circle> = {
  decode(text) {
    const [x, y, radius] = numbersOf(text, /^<\(.*\),.*>$/, "circle");
    return { center: { x, y }, radius };
  },
};
