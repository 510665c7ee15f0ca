/** Whether the service is there, in the head of the page. */
import { Problem, read } from "../base/api.js";
import { plural } from "../base/format.js";
import { html, useEffect, useState } from "../base/html.js";

const LOOK_MS = 5000;
const LOOK_AGAIN_MS = 1000;

export function Health() {
  const [health, setHealth] = useState({ kind: "waiting", words: "Asking…" });
  useEffect(() => {
    let here = true;
    let timer;
    const look = async () => {
      const found = await ask();
      if (!here) return;
      setHealth(found);
      timer = setTimeout(look, found.kind === "good" ? LOOK_MS : LOOK_AGAIN_MS);
    };
    look();
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, []);
  return html`<a class="health ${health.kind}" href="#/system" title=${health.title}
    ><span role="status">${health.words}</span></a
  >`;
}

async function ask() {
  try {
    const { queues } = await read("system");
    const workers = queues.sampling.workers.length;
    if (!workers) return { kind: "bad", words: "No sampling worker", title: "Requests wait until one comes." };
    return { kind: "good", words: "Ready", title: plural(workers, "sampling worker") };
  } catch (error) {
    if (error.status === 401) return { kind: "bad", words: "A key is wanted", title: error.message };
    const lost = error instanceof Problem && error.status === 0;
    return { kind: "bad", words: lost ? "Service lost, looking for it…" : "Not ready", title: error.message };
  }
}
