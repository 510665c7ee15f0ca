/** Server-sent events that go on where they stopped, whatever was lost in between. */
import { ask, isLost } from "./api.js";

const AGAIN_MS = 1500;

/** Tell of events until `signal` is aborted or the stream has ended for good.
 * @param {string} path
 * @param {{onEvents: (events: {id: string, kind: string, data: any}[]) => void, onError: (error: Error|null) => void,
 *   isOver: () => Promise<boolean>, signal: AbortSignal}} hooks `isOver` is asked when a stream ends.
 */
export async function follow(path, { onEvents, onError, isOver, signal }) {
  let last = "";
  while (!signal.aborted) {
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      const response = await ask(path, { accept: "text/event-stream", headers, signal });
      onError(null);
      for await (const events of parsed(response.body)) {
        last = events.at(-1).id || last;
        onEvents(events);
      }
      if (await isOver()) return;
    } catch (error) {
      if (signal.aborted) return;
      // A connection that breaks in the middle is no problem of the service's: come again.
      if (error.status !== undefined) onError(error);
      if (error.status !== undefined && !isLost(error)) return;
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

/** The events of a body, as many at a time as have come. */
async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    const events = blocks.map(event).filter(Boolean);
    if (events.length) yield events;
  }
}

function event(block) {
  const lines = block.split(/\r?\n/).filter((line) => !line.startsWith(":"));
  const of = (name) =>
    lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  const data = of("data").join("\n");
  return data ? { id: of("id")[0] ?? "", kind: of("event")[0] ?? "message", data: JSON.parse(data) } : null;
}
