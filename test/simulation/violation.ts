// What a run must not do.

export class Violation extends Error {}

export const demand = (holds: boolean, what: () => string): void => {
  if (!holds) {
    throw new Violation(what());
  }
};
