/** An error as a sentence, said to those who listen too. */
import { html } from "../base/html.js";

/** @param {{error: Error|null, children?: any}} props */
export function Notice({ error, children }) {
  return html`<div role="alert" class=${error ? "notice" : null}>
    ${
      error &&
      html`<p>${error.message}</p>
        ${children}`
    }
  </div>`;
}
