/** The pictures of a column: at once, or from the bulk lane with its progress. */
import { Problem, isLost, read, ask } from "../base/api.js";
import { useEffect, useState } from "../base/html.js";

const LONGEST_AT_ONCE = 8;
const LOOK_MS = 400;
const AGAIN_MS = 2000;
const DEBOUNCE_MS = 80;

/** @param {import("./columns.js").Column} column @param {{seed: number, n: number}} asked */
export function useSampled(column, { seed, n }) {
  const [state, setState] = useState({ result: null, progress: 0, error: null });
  useEffect(() => {
    const leaving = new AbortController();
    let running = null;
    let timer;
    const sleep = (ms) => new Promise((done) => (timer = setTimeout(done, ms)));
    const body = { model: column.family, checkpoint: column.checkpoint, steps: column.steps, seed, n };
    const atOnce = () => read("generate", { body, signal: leaving.signal });
    const onBulkLane = async () => {
      const accepted = await ask("generate", { body, headers: { Prefer: "respond-async" }, signal: leaving.signal });
      running = accepted.headers.get("Location");
      for (;;) {
        const answer = await ask(running, { signal: leaving.signal });
        const told = await answer.json();
        if (answer.status === 200) {
          running = null;
          return told;
        }
        setState((before) => ({ ...before, progress: told.progress, error: null }));
        await sleep(LOOK_MS);
      }
    };
    const sample = async () => {
      await sleep(DEBOUNCE_MS);
      while (!leaving.signal.aborted) {
        try {
          const result = await (column.steps > LONGEST_AT_ONCE ? onBulkLane() : atOnce());
          if (!leaving.signal.aborted) setState({ result, progress: 1, error: null });
          return;
        } catch (error) {
          if (leaving.signal.aborted) return;
          setState((before) => ({ ...before, error }));
          if (!isLost(error)) return;
          await sleep(1000 * (error instanceof Problem && error.retryAfter) || AGAIN_MS);
        }
      }
    };
    setState({ result: null, progress: 0, error: null });
    sample();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      // What nobody looks at any more need not be sampled.
      if (running) ask(running, { method: "DELETE" }).catch(() => {});
    };
  }, [column.key, seed, n]);
  return state;
}
