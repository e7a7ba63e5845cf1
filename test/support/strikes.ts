// What a proxy does at the n-th frame of a kind, once.

export interface Strike {
  readonly apiKey: number;
  readonly moment: "request" | "reply";
  readonly act: () => void;
  readonly cut: boolean;
  /** Only frames with this text count. */
  readonly naming: string;
  /** How many frames of that kind are still let through. */
  left: number;
}

export class Strikes {
  #planned: Strike | null = null;

  plan(strike: Strike | null): void {
    this.#planned = strike;
  }

  /** Acts if it is time; true when the connection is to be cut then. */
  at(apiKey: number, moment: Strike["moment"], frame: Buffer): boolean {
    const strike = this.#planned;
    if (strike === null || strike.apiKey !== apiKey || strike.moment !== moment) return false;
    if (!frame.includes(strike.naming) || strike.left-- > 0) return false;
    this.#planned = null;
    strike.act();
    return strike.cut;
  }
}
