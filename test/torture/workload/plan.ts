// What a writer does, transaction by transaction, planned from its seed alone. What the database answers changes
// nothing of it: the same seed sends the same statements.
import type { Random } from "../random.ts";
import { ACCOUNT_OPERATIONS } from "./operations/accounts.ts";
import { bulk, COPY, COPY_PARTS, UNRELATED } from "./operations/bulk.ts";
import { FAMILY_OPERATIONS, ORPHAN } from "./operations/family.ts";
import { KEYED_OPERATIONS } from "./operations/keyed.ts";
import { LIST_OPERATIONS } from "./operations/lists.ts";
import { NOTE_OPERATIONS } from "./operations/notes.ts";
import { ODD_OPERATIONS } from "./operations/odd.ts";
import type { Operation } from "./operations/operation.ts";
import { PART_OPERATIONS } from "./operations/parts.ts";
import { WIPED_OPERATIONS } from "./operations/wiped.ts";
import { literal, ownBase, type Place, raw, type Statement, sql } from "./statement.ts";

/** How a transaction ends; `prepare` is decided several transactions later, by then perhaps on another server process. */
export type Ending =
  | { readonly kind: "commit" | "rollback" | "none" }
  | { readonly kind: "prepare"; readonly decision: "commit" | "rollback"; readonly after: number };

export interface TransactionPlan {
  readonly frame: FrameName;
  /** Names of the operations in it. */
  readonly operations: readonly string[];
  /** Without those that begin and end the transaction. */
  readonly statements: readonly Statement[];
  readonly isolation: "read committed" | "repeatable read" | "serializable";
  /** Sent as one query, so that nothing can come between. */
  readonly together: boolean;
  readonly ending: Ending;
}

export interface PlanOptions {
  /** The most rows that one transaction inserts at once; 20,000 by default. */
  readonly bulkRows?: number;
  /** How often of 400 times a transaction is of a frame, instead of the default; 0 leaves it out. */
  readonly frames?: Partial<Record<FrameName, number>>;
}

/** Operations that may stand beside others in a transaction. */
export const OPERATIONS: readonly Operation[] = [
  ...ACCOUNT_OPERATIONS,
  ...LIST_OPERATIONS,
  ...NOTE_OPERATIONS,
  ...KEYED_OPERATIONS,
  ...WIPED_OPERATIONS,
  ...PART_OPERATIONS,
  ...FAMILY_OPERATIONS,
  ...ODD_OPERATIONS,
];

const CARDS_A_WEIGHT = 2;

/** How often a transaction is of this kind, of 400. Large ones are rare: they make most of the rows all the same. */
const FRAMES = {
  plain: 140,
  several: 94,
  together: 36,
  rollback: 20,
  savepoint: 38,
  exception: 24,
  "repeatable read": 12,
  serializable: 8,
  long: 2,
  prepared: 9,
  orphan: 4,
  /** Off: a fold of events misses what ADD and DROP COLUMN do to rows without changing them one by one. */
  evolve: 0,
  copy: 1,
  "copy parts": 1,
  bulk: 1,
  unrelated: 10,
} as const;

export type FrameName = keyof typeof FRAMES;
export const FRAME_NAMES = Object.keys(FRAMES) as FrameName[];

/** Deals kinds like cards from a deck that is shuffled anew when it is used up, so that the rare ones come too. */
class Deck<T> {
  readonly #cards: readonly T[];
  readonly #random: Random;
  #left: T[] = [];

  constructor(cards: readonly T[], random: Random) {
    this.#cards = cards;
    this.#random = random;
  }

  draw(): T {
    if (this.#left.length === 0) this.#left = this.#random.shuffle(this.#cards);
    return this.#left.pop()!;
  }
}

const times = <T>(count: number, item: T): T[] => Array(Math.max(1, Math.round(count))).fill(item);

export class Planner {
  readonly #random: Random;
  readonly #writer: number;
  readonly #frames: Deck<FrameName>;
  readonly #operations: Deck<Operation>;
  readonly #bulk: Operation;
  #number = 0;

  constructor(random: Random, writer: number, options: PlanOptions = {}) {
    this.#random = random;
    this.#writer = writer;
    const frames = FRAME_NAMES.flatMap((name) => {
      const count = options.frames?.[name] ?? FRAMES[name];
      return count <= 0 ? [] : times(count, name);
    });
    this.#frames = new Deck(frames, random.fork("frames"));
    const operations = OPERATIONS.flatMap((one) => times(one.weight * CARDS_A_WEIGHT, one));
    this.#operations = new Deck(operations, random.fork("operations"));
    this.#bulk = bulk(options.bulkRows ?? 20_000);
  }

  /** The writer's next transaction. */
  next(): TransactionPlan {
    const number = this.#number++;
    const frame = this.#frames.draw();
    const random = this.#random.fork(number);
    const place = { writer: this.#writer, number };
    const draw = (count: number): Drawn[] => Array.from({ length: count }, () => this.#draw(random, place));
    const planned = (drawn: readonly Drawn[], more: Partial<TransactionPlan> = {}): TransactionPlan => ({
      frame,
      operations: drawn.map(({ name }) => name),
      statements: drawn.flatMap(({ statements }) => statements),
      isolation: "read committed",
      together: false,
      ending: { kind: "commit" },
      ...more,
    });
    const alone = (operation: Operation): Drawn => ({
      name: operation.name,
      statements: operation.plan(random, place),
    });
    switch (frame) {
      case "plain": {
        const [one] = draw(1);
        // A single statement is a transaction by itself.
        return planned([one!], one!.statements.length === 1 ? { ending: { kind: "none" } } : {});
      }
      case "several":
        return planned(draw(random.int(2, 4)));
      case "together":
        return planned(draw(random.int(1, 3)), { together: true });
      case "rollback":
        return planned(draw(random.int(1, 3)), { ending: { kind: "rollback" } });
      case "savepoint":
        return planned(withSavepoints(draw(random.int(2, 4)), random));
      case "exception":
        return planned(withAttempts(draw(random.int(2, 3)), random));
      case "repeatable read":
      case "serializable":
        return planned(draw(random.int(1, 3)), { isolation: frame });
      case "long":
        return planned([longTransaction(random, place)]);
      case "prepared": {
        const decision = random.chance(0.7) ? "commit" : "rollback";
        return planned([promise(random, place)], { ending: { kind: "prepare", decision, after: random.int(0, 25) } });
      }
      case "orphan":
        return planned([...draw(1), alone(ORPHAN)]);
      case "evolve":
        return planned([evolve(random, place)]);
      case "copy":
        return planned([alone(COPY)]);
      case "copy parts":
        return planned([alone(COPY_PARTS)]);
      case "bulk":
        return planned([alone(this.#bulk)]);
      case "unrelated":
        return planned([alone(UNRELATED)]);
      default:
        throw frame satisfies never;
    }
  }

  #draw(random: Random, place: Place): Drawn {
    const operation = this.#operations.draw();
    return { name: operation.name, statements: operation.plan(random, place) };
  }
}

interface Drawn {
  readonly name: string;
  readonly statements: readonly Statement[];
}

/** Some of the operations are undone, one inside another at times. */
function withSavepoints(drawn: readonly Drawn[], random: Random): Drawn[] {
  const nested = random.chance(0.4);
  return drawn.map(({ name, statements }, at) => {
    const undone = random.chance(0.5);
    const savepoint = raw(`s${nested ? 0 : at}`);
    const inner = nested
      ? [
          sql`SAVEPOINT inner_one`,
          ...statements,
          random.chance(0.5) ? sql`ROLLBACK TO inner_one` : sql`RELEASE inner_one`,
        ]
      : statements;
    return {
      name,
      statements: [
        sql`SAVEPOINT ${savepoint}`,
        ...inner,
        undone ? sql`ROLLBACK TO ${savepoint}` : sql`RELEASE ${savepoint}`,
      ],
    };
  });
}

/** Some of the operations run in a PL/pgSQL block that catches an exception. */
function withAttempts(drawn: readonly Drawn[], random: Random): Drawn[] {
  return drawn.map(({ name, statements }, at) => {
    if (at === 0 && drawn.length > 2) return { name, statements };
    const texts = statements.flatMap((statement) => ("sql" in statement ? [literal(statement.sql)] : []));
    const fail = random.chance(0.5);
    return { name, statements: [sql`SELECT public.attempt(ARRAY[${raw(texts.join(", "))}], ${fail})`] };
  });
}

/** Stays open while many others begin and end; on rows that few others want. */
function longTransaction(random: Random, { writer, number }: Place): Drawn {
  const steps = random.int(8, 20);
  return {
    name: "long",
    statements: Array.from({ length: steps }, (_, step): Statement[] => [
      sql`INSERT INTO public.keyed (tenant, code, tier, value)
          VALUES (${100 + writer}, ${`long ${step % 7}`}, 1, ${`${number}`})
          ON CONFLICT (tenant, code, tier) DO UPDATE SET value = EXCLUDED.value, version = keyed.version + 1`,
      { sleep: random.int(1, 40) },
    ]).flat(),
  };
}

/** Rows of its own: nobody may have to wait for the locks of a prepared transaction. */
function promise(random: Random, place: Place): Drawn {
  const base = ownBase(place);
  return {
    name: "promise",
    statements: [
      sql`DELETE FROM public.promises WHERE id >= ${ownBase({ ...place, number: 0 })} AND id < ${base - 1_000_000n}`,
      sql`INSERT INTO public.promises SELECT ${base} + g, ${random.text(10)} FROM generate_series(0, ${random.int(0, 20)}) g`,
      sql`SAVEPOINT s`,
      sql`UPDATE public.promises SET note = 'undone' WHERE id = ${base}`,
      sql`ROLLBACK TO s`,
      sql`UPDATE public.promises SET note = 'kept' WHERE id = ${base}`,
    ],
  };
}

/** Columns come and go between rows of one transaction. */
function evolve(random: Random, { writer, number }: Place): Drawn {
  // A name that comes back would stand for other values.
  const column = raw(`"extra ${writer} ${number}"`);
  const id = random.int(1, 30);
  const install = sql`SELECT public.audit_install('public.evolving')`;
  return {
    name: "evolve",
    statements: [
      sql`INSERT INTO public.evolving VALUES (${id}, ${random.text(4)}) ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value`,
      sql`ALTER TABLE public.evolving ADD COLUMN ${column} text`,
      install,
      sql`UPDATE public.evolving SET ${column} = ${random.text(3)} WHERE id <= ${id}`,
      ...(random.chance(0.6) ? [sql`ALTER TABLE public.evolving DROP COLUMN ${column}`, install] : []),
      sql`INSERT INTO public.evolving (id, value) VALUES (${id + 1}, ${random.text(4)})
          ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value`,
    ],
  };
}
