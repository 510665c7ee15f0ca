/** What the address asks for, as a request; and its pictures, the latest alone. */
import { Problem, isLost, read } from "../base/api.js";
import { useEffect, useRef, useState } from "../base/html.js";

const DEBOUNCE_MS = 60;
const AGAIN_MS = 1500;
export const FIRST = { steps: 4, n: 16, seed: 7 };

/** The body of the request, made of the address and what there is.
 * @param {Record<string, string>} query @param {any[]} models @param {number} most
 */
export function bodyOf(query, models, most) {
  const family = models.find((one) => one.name === query.family) ?? models.find((one) => one.default) ?? models[0];
  const steps = Object.keys(family.steps)
    .map(Number)
    .sort((a, b) => a - b);
  const asked = whole(query.steps, FIRST.steps);
  const classes = Math.max(...Object.values(family.checkpoints).map((card) => card.num_classes ?? 0));
  const n = Math.min(Math.max(whole(query.n, FIRST.n), 1), most);
  return {
    family,
    classes,
    steps,
    body: {
      model: family.name,
      steps: steps.includes(asked) ? asked : (steps.find((one) => one >= asked) ?? steps.at(-1)),
      n,
      seed: Math.min(whole(query.seed, FIRST.seed), 2 ** 32 - n),
      ...(classes && query.class !== undefined && { class_label: Math.min(whole(query.class, 0), classes - 1) }),
    },
  };
}

/** The result for a body, asked for when it has not changed for a moment; an earlier request is called off. */
export function useImages(body) {
  const [state, setState] = useState({ result: null, error: null, waiting: true });
  const first = useRef(true);
  const key = JSON.stringify(body);
  useEffect(() => {
    const leaving = new AbortController();
    let timer;
    const ask = async () => {
      const began = performance.now();
      try {
        const result = await read("generate", { body, signal: leaving.signal });
        setState({ result: { ...result, elapsed: (performance.now() - began) / 1000 }, error: null, waiting: false });
      } catch (error) {
        if (leaving.signal.aborted) return;
        setState((before) => ({ ...before, error, waiting: false }));
        if (isLost(error)) timer = setTimeout(ask, 1000 * (error instanceof Problem && error.retryAfter) || AGAIN_MS);
      }
    };
    setState((before) => ({ ...before, waiting: true }));
    timer = setTimeout(ask, first.current ? 0 : DEBOUNCE_MS);
    first.current = false;
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [key]);
  return state;
}

function whole(text, otherwise) {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : otherwise;
}
