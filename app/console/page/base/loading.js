/** What is asked for once or again and again, while whoever shows it is there. */
import { isLost } from "./api.js";
import { useCallback, useEffect, useState } from "./html.js";

const AGAIN_MS = 2000;

/** The latest outcome of a function, and the latest error; a lost service is asked again until it is there.
 * @param {(signal: AbortSignal) => Promise<any>} load
 * @param {any[]} depends Ask anew when any of them changes.
 * @param {number} [everyMs] Ask again after so long; without it once.
 */
export function useLoaded(load, depends, everyMs = 0) {
  const [state, setState] = useState({ value: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    let timer;
    const look = async () => {
      let pause = everyMs;
      try {
        const value = await load(leaving.signal);
        if (!leaving.signal.aborted) setState({ value, error: null });
      } catch (error) {
        if (leaving.signal.aborted) return;
        setState((before) => ({ ...before, error }));
        if (isLost(error)) pause ||= AGAIN_MS;
      }
      if (pause && !leaving.signal.aborted) timer = setTimeout(look, pause);
    };
    look();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [...depends, everyMs, turn]);
  const again = useCallback(() => setTurn((before) => before + 1), []);
  return { ...state, again };
}
