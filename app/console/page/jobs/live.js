/** A job as it goes: its document, and the events that tell of it since. */
import { read } from "../base/api.js";
import { useCallback, useEffect, useRef, useState } from "../base/html.js";
import { follow } from "../base/stream.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const MOST_TOLD = 300;

export const hasEnded = (job) => ENDED.includes(job.state);

/** @returns {{job: any, error: Error|null, told: any[], points: Map<number, number>, reload: () => void}} */
export function useJob(id) {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const [told, setTold] = useState([]);
  const [points, setPoints] = useState(new Map());
  const [turn, setTurn] = useState(0);
  const latest = useRef(null);
  const path = `distill-jobs/${encodeURIComponent(id)}`;

  const load = useCallback(async (signal) => {
    const found = await read(path, { signal });
    latest.current = found;
    setJob(found);
    setPoints((before) => merged(before, found.history));
    return found;
  }, []);

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const look = () => load(signal).catch((failed) => !signal.aborted && setError(failed));
    const onEvents = (events) => {
      setPoints((before) =>
        merged(
          before,
          events
            .filter(({ kind }) => kind === "progress")
            .map(({ data }) => [overall(latest.current, data), data.loss]),
        ),
      );
      const progress = events.filter(({ kind }) => kind === "progress").at(-1);
      if (progress) setJob((before) => before && { ...before, ...progressed(before, progress.data) });
      const others = events.filter(({ kind }) => kind !== "progress");
      setTold((before) => [...before, ...others].slice(-MOST_TOLD));
      if (others.length) look();
    };
    const begin = async () => {
      while (!signal.aborted) {
        try {
          await load(signal);
          break;
        } catch (failed) {
          if (signal.aborted) return;
          setError(failed);
          if (failed.status && failed.status !== 503) return;
          await new Promise((done) => setTimeout(done, 1500));
        }
      }
      await follow(`${path}/events`, {
        onEvents,
        onError: setError,
        isOver: async () => hasEnded(await load(signal)),
        signal,
      });
    };
    setTold([]);
    begin();
    return () => leaving.abort();
  }, [id, turn]);

  return { job, error, told, points, reload: () => setTurn((before) => before + 1) };
}

/** What a progress event changes of the document. An event of the past changes nothing. */
function progressed(job, { round, iteration, iterations, loss, iterations_per_second: rate }) {
  if (hasEnded(job) || round < job.round || (round === job.round && iteration < job.iteration)) return {};
  const left = job.steps.slice(round - 1).reduce((sum, steps) => sum + perRound(job, steps), 0) - iteration;
  return {
    round,
    iteration,
    iterations,
    loss,
    ...(rate && { iterations_per_second: rate, eta_s: Math.max(left, 0) / rate }),
  };
}

/** An iteration of a round, counted over all rounds. */
function overall(job, { round, iteration }) {
  return job.steps.slice(0, round - 1).reduce((sum, steps) => sum + perRound(job, steps), 0) + iteration;
}

function perRound(job, steps) {
  return job.request.iterations * (steps <= 2 ? 2 : 1);
}

function merged(before, pairs) {
  return pairs.length ? new Map([...before, ...pairs].sort(([a], [b]) => a - b)) : before;
}
