/** A button that asks once more before it does what cannot be undone. */
import { html, useState } from "../base/html.js";

/** @param {{label: string, question: string, onConfirm: () => void}} props */
export function Confirm({ label, question, onConfirm }) {
  const [asked, setAsked] = useState(false);
  if (!asked) return html`<button type="button" class="danger" onClick=${() => setAsked(true)}>${label}</button>`;
  const answer = (yes) => {
    setAsked(false);
    if (yes) onConfirm();
  };
  return html`
    <span class="row" role="group" aria-label=${question}>
      <span>${question}</span>
      <button type="button" class="danger" onClick=${() => answer(true)}>Yes</button>
      <button type="button" onClick=${() => answer(false)}>No</button>
    </span>
  `;
}
