/** What may be wider than the window: it scrolls by itself, by keyboard too. */
import { html } from "../base/html.js";

/** @param {{label: string, kind?: string, children: any}} props */
export function Scroll({ label, kind = "", children }) {
  return html`<div class=${`${kind} scroll`.trim()} tabindex="0" role="region" aria-label=${label}>${children}</div>`;
}
