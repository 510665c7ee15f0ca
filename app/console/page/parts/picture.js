/** Pictures whose pixels stay squares: shown at a whole number of times their size. */
import { html } from "../base/html.js";

/** How often a picture of so many pixels fits into a place of so many, at least once.
 * @param {[number, number, number]} shape Channels, height, width.
 */
export function zoom([, height, width], target) {
  return Math.max(1, Math.floor(target / Math.max(height, width)));
}

/** @param {{data: string, format?: string, shape: number[], target: number, alt: string}} props `data`: in base64. */
export function Picture({ data, format = "png", shape, target, alt }) {
  const times = zoom(shape, target);
  return html`<img
    class="pixels"
    src=${`data:image/${format};base64,${data}`}
    width=${shape[2] * times}
    height=${shape[1] * times}
    decoding="sync"
    alt=${alt}
  />`;
}
