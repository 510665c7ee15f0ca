/** A seed: typed, drawn anew, or the next or last one. */
import { html } from "../base/html.js";
import { Field } from "./field.js";

export const MAX_SEED = 2 ** 32 - 1;

/** @param {{value: number, room: number, onValue: (seed: number) => void}} props `room`: images that begin with it. */
export function SeedField({ value, room, onValue }) {
  const most = MAX_SEED + 1 - room;
  const go = (seed) => onValue(Math.min(Math.max(seed, 0), most));
  const typed = (event) => {
    if (/^\d+$/.test(event.target.value)) go(Number(event.target.value));
  };
  return html`
    <${Field} label="Seed" hint="Image i has this seed plus i. The same seed gives the same picture.">
      ${(more) => html`
        <div class="joined">
          <button type="button" class="square" aria-label="Seed before" onClick=${() => go(value - 1)}>−</button>
          <input type="text" inputmode="numeric" ...${more} value=${value} onInput=${typed} />
          <button type="button" class="square" aria-label="Next seed" onClick=${() => go(value + 1)}>+</button>
        </div>
      `}
    <//>
    <button type="button" onClick=${() => go(crypto.getRandomValues(new Uint32Array(1))[0])}>New seed</button>
  `;
}
