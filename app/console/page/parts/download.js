/** The result of a request as a file. */
import { ask } from "../base/api.js";
import { html, useState } from "../base/html.js";
import { save } from "./fetched.js";
import { Notice } from "./notice.js";

const KINDS = [
  ["PNG", "image/png", "png"],
  ["zip", "application/zip", "zip"],
  ["npy", "application/x-npy", "npy"],
];

/** @param {{body: any}} props */
export function Downloads({ body }) {
  const [error, setError] = useState(null);
  const download = async (accept, suffix) => {
    try {
      const answer = await ask("generate", { body, accept });
      await save(answer, `${body.model}-${answer.headers.get("Fewstep-Checkpoint")}-${body.seed}.${suffix}`);
      setError(null);
    } catch (failed) {
      setError(failed);
    }
  };
  return html`
    <div class="stack">
      <div class="row">
        <span class="label">Download</span>
        ${KINDS.map(([label, accept, suffix]) => html`<button key=${label} type="button" onClick=${() => download(accept, suffix)}>${label}</button>`)}
      </div>
      <${Notice} error=${error} />
    </div>
  `;
}
