// A stop does not wait long for what is being opened.

/** How long a stop waits for connections that are being opened to be closed in good order. */
const OPENING_MS = 5_000;

/** The result; soon after the signal it rejects, and whatever is opened then is closed again by its opener. */
export async function untilStopped<T>(opening: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => reject(signal.reason), OPENING_MS);
  };
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([opening, late]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}
