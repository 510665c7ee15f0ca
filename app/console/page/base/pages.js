/** Lists that the service gives in pages. */

import { read } from "./api.js";

/** What stands in a list under a name, from a path on: of all pages, or of so many, and whether there are more. */
export async function readPages(path, name, { signal, pages = Infinity } = {}) {
  const found = [];
  for (let page = 0; page < pages && path; page++) {
    const part = await read(path, { signal });
    found.push(...part[name]);
    path = part.next;
  }
  return { found, more: path !== null };
}

/** Every model family. */
export async function readModels(signal) {
  return (await readPages("models", "models", { signal })).found;
}
