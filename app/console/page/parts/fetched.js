/** What the service answers as a file, by requests that may go with a key. */
import { ask } from "../base/api.js";
import { useEffect, useState } from "../base/html.js";

/** A local address of what a path answers; null until it is there. */
export function useFetched(path) {
  const [url, setUrl] = useState(null);
  useEffect(() => {
    const leaving = new AbortController();
    let made = null;
    ask(path, { accept: "*/*", signal: leaving.signal })
      .then((answer) => answer.blob())
      .then((content) => {
        if (!leaving.signal.aborted) setUrl((made = URL.createObjectURL(content)));
      })
      .catch(() => {}); // what is said in its place says enough
    return () => {
      leaving.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [path]);
  return url;
}

/** Save an answer under a name. */
export async function save(answer, name) {
  const url = URL.createObjectURL(await answer.blob());
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
