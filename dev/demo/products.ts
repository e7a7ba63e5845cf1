// Believable products: the same seed gives the same shop, so that two runs can be compared.

export interface NewProduct {
  readonly name: string;
  readonly description: string;
  readonly brand: string;
  readonly category: string;
  /** numeric(10,2) as text. */
  readonly price: string;
  readonly stock: number;
}

/** Random numbers of [0, 1) from a seed (mulberry32). */
export type Random = () => number;

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

// biome-ignore format: a list of names
const BRANDS = [
  "Alpenglow", "Brightwater", "Casa Lumière", "Dorn & Sohn", "Evergreen", "Fjällvind", "Göta Verk", "Hinoki",
  "Ironbark", "Juniper Lane", "Kestrel", "Lumen", "Møbelhus", "Northbound", "Ōkami", "Piñata Home", "Quarry",
  "Rosewood",
];

interface Category {
  readonly name: string;
  readonly nouns: readonly string[];
  readonly lowest: number;
  readonly highest: number;
  readonly traits: readonly string[];
}

const CATEGORIES: readonly Category[] = [
  {
    name: "Kitchen",
    nouns: ["kettle", "chef's knife", "cast-iron pan", "espresso maker", "cutting board", "salad bowl", "pepper mill"],
    lowest: 9,
    highest: 240,
    traits: ["dishwasher safe", "works on induction", "holds its edge", "pours without dripping", "made for daily use"],
  },
  {
    name: "Outdoor",
    nouns: ["tent", "sleeping bag", "rucksack", "trekking pole", "head torch", "rain jacket", "camping stove"],
    lowest: 15,
    highest: 620,
    traits: [
      "sheds rain for days",
      "packs down small",
      "warm to minus five",
      "weighs next to nothing",
      "seams are taped",
    ],
  },
  {
    name: "Audio",
    nouns: ["headphones", "record player", "bookshelf speaker", "microphone", "soundbar", "radio", "amplifier"],
    lowest: 25,
    highest: 1400,
    traits: ["plays thirty hours", "keeps the voices clear", "quiet when nothing plays", "pairs with two devices"],
  },
  {
    name: "Books",
    nouns: ["novel", "atlas", "cookbook", "field guide", "dictionary", "biography", "crime story"],
    lowest: 6,
    highest: 85,
    traits: [
      "printed on heavy paper",
      "with a ribbon",
      "second, revised edition",
      "illustrated throughout",
      "hard to put down",
    ],
  },
  {
    name: "Furniture",
    nouns: ["armchair", "oak table", "bookcase", "bedside lamp", "stool", "writing desk", "wardrobe"],
    lowest: 39,
    highest: 1900,
    traits: ["assembled in minutes", "oiled by hand", "stands firmly on old floors", "cover comes off for washing"],
  },
  {
    name: "Toys",
    nouns: ["wooden train", "puzzle", "kite", "board game", "marble run", "doll's house", "building blocks"],
    lowest: 5,
    highest: 130,
    traits: ["from three years on", "survives being thrown", "keeps four players busy", "no batteries needed"],
  },
];

// biome-ignore format: a list of words
const ADJECTIVES = [
  "compact", "light", "classic", "sturdy", "folding", "quiet", "handmade", "slim", "large", "small", "red",
  "dark blue", "natural", "matte black", "white", "recycled", "travel", "professional", "vintage", "warm",
];

const OPENINGS = [
  "A %n for people who use one every day.",
  "The %n we would give to a friend.",
  "Our best-selling %n, now in its third version.",
  "This %n does one thing, and does it well.",
  "Everything that a good %n needs, and nothing else.",
];

// biome-ignore format: a list of sentences
const CARE = [
  "Wipe it with a damp cloth.", "Spare parts are kept for ten years.", "Comes with a guarantee of two years.",
  "Ships in a box without plastic.", "Returns are free within thirty days.", "Made in small batches.",
];

function sentence(random: Random, category: Category): string {
  const trait = pick(random, category.traits);
  return `${trait[0]?.toUpperCase()}${trait.slice(1)}. ${pick(random, CARE)}`;
}

/** A manual of 9 to 25 kB: Postgres stores such a value out of line (TOAST), and does not send it when it is unchanged. */
function manual(random: Random, category: Category, noun: string): string {
  const parts: string[] = [];
  const length = 9_000 + Math.floor(random() * 16_000);
  for (let size = 0, step = 1; size < length; step++) {
    // The numbers keep the text from being compressed to nothing.
    const measure = `${Math.floor(random() * 1e9).toString(36)}-${Math.floor(random() * 1e9).toString(36)}`;
    const part = `${step}. ${sentence(random, category)} Part ${measure} of the ${noun} is ${(random() * 90).toFixed(3)} mm wide.`;
    parts.push(part);
    size += part.length + 1;
  }
  return parts.join("\n");
}

export function describe(random: Random, categoryName: string, noun: string): string {
  const category = CATEGORIES.find(({ name }) => name === categoryName) ?? (CATEGORIES[0] as Category);
  const opening = pick(random, OPENINGS).replace("%n", noun);
  const sentences = Array.from({ length: 1 + Math.floor(random() * 4) }, () => sentence(random, category));
  const body = [...new Set(sentences)].join(" ");
  return random() < 0.02 ? `${opening} ${body}\n${manual(random, category, noun)}` : `${opening} ${body}`;
}

export function product(random: Random): NewProduct {
  const category = pick(random, CATEGORIES);
  const noun = pick(random, category.nouns);
  const brand = pick(random, BRANDS);
  return {
    name: `${brand} ${pick(random, ADJECTIVES)} ${noun}`,
    description: describe(random, category.name, noun),
    brand,
    category: category.name,
    price: priceOf(random, category.name),
    stock: Math.floor(random() ** 2 * 400),
  };
}

/** A price that a shop would ask: most are low, and they end in .00, .49, .90, .95 or .99. */
export function priceOf(random: Random, categoryName: string): string {
  const category = CATEGORIES.find(({ name }) => name === categoryName) ?? (CATEGORIES[0] as Category);
  const whole = Math.floor(category.lowest + random() ** 3 * (category.highest - category.lowest));
  return `${whole}.${pick(random, ["00", "49", "90", "95", "99"])}`;
}

export const CATEGORY_NAMES: readonly string[] = CATEGORIES.map(({ name }) => name);
