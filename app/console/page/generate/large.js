/** One picture large, with all that is known of it. */
import { html, useEffect, useRef } from "../base/html.js";
import { Picture } from "../parts/picture.js";
import { Timings } from "../parts/timings.js";

/** @param {{result: any, shape: number[], index: number, onIndex: (index: number|null) => void}} props */
export function Large({ result, shape, index, onIndex }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (!dialog.current.open) dialog.current.showModal();
  }, []);
  const image = result.images[Math.min(index, result.images.length - 1)];
  const go = (by) => onIndex((index + by + result.images.length) % result.images.length);
  const pressed = (event) => {
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  };
  const size = Math.min(512, innerWidth - 80);
  return html`
    <dialog
      ref=${dialog}
      aria-label="Picture of seed ${image.seed}"
      onClose=${() => onIndex(null)}
      onKeyDown=${pressed}
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div class="large">
        <div class="picture">
          <${Picture}
            data=${image.data}
            format=${result.format}
            shape=${shape}
            target=${size}
            alt="Sample of seed ${image.seed}, large"
          />
        </div>
        <div class="about">
          <div class="stack">
            <h2>Seed ${image.seed}</h2>
            <dl class="facts">
              <dt>Family</dt>
              <dd>${result.model}</dd>
              <dt>Checkpoint</dt>
              <dd>${result.checkpoint}</dd>
              <dt>Steps</dt>
              <dd>${result.steps}</dd>
              <dt>Precision</dt>
              <dd>${result.precision}</dd>
              ${
                result.class_label !== null &&
                html`<dt>Class</dt>
                  <dd>${result.class_label}</dd>`
              }
              <dt>Sampled with</dt>
              <dd>${result.n === 1 ? "none beside it" : `${result.n - 1} beside it`}</dd>
            </dl>
            <${Timings} timings=${result.timings} elapsed=${result.elapsed} />
          </div>
          <div class="row between">
            <div class="row">
              <button type="button" class="square" aria-label="Previous picture" onClick=${() => go(-1)}>←</button>
              <button type="button" class="square" aria-label="Next picture" onClick=${() => go(1)}>→</button>
              <a
                class="button"
                download="${result.model}-${result.checkpoint}-${image.seed}.${result.format}"
                href=${`data:image/${result.format};base64,${image.data}`}
                >Save</a
              >
            </div>
            <button type="button" onClick=${() => dialog.current.close()}>Close</button>
          </div>
        </div>
      </div>
    </dialog>
  `;
}
