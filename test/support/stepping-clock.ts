// Loaded before the daemon by a test (`node --import`): a wall clock that jumps by up to a day, forwards and backwards, at
// every look. Timers and `performance.now()` are left alone, as a real clock step leaves them.
const DAY_MS = 86_400_000;
const RealDate = Date;
let looks = 0;

function steppedNow(): number {
  looks++;
  // Alternately ahead and behind, each time by another amount.
  return RealDate.now() + (looks % 2 === 0 ? 1 : -1) * ((looks * 7_919_003) % DAY_MS);
}

globalThis.Date = new Proxy(RealDate, {
  construct: (target, parameters: [], newTarget) =>
    Reflect.construct(target, parameters.length === 0 ? [steppedNow()] : parameters, newTarget),
  get: (target, name, receiver) => (name === "now" ? steppedNow : Reflect.get(target, name, receiver)),
});
