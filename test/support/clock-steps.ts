// Loaded before a program (`node --import`): its wall clock jumps while it runs, also backwards. CLOCK_STEPS holds
// milliseconds from the true time with commas between them, and after a colon how long each of them lasts.
const [offsets = "", everyMs = ""] = (process.env.CLOCK_STEPS ?? "").split(":");
const steps = offsets.split(",").map(Number);
if (offsets === "" || !steps.every(Number.isFinite) || !(Number(everyMs) > 0)) {
  throw new Error('CLOCK_STEPS needs the form "-86400000,0,86400000:250".');
}

const TrueDate = Date;
let step = 0;
// Timers run by the monotonic clock.
setInterval(() => {
  step = (step + 1) % steps.length;
}, Number(everyMs)).unref();

const now = () => TrueDate.now() + steps[step]!;

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new TrueDate(now()).toString(),
  get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
});
