/** Texts to copy, one of several at a time. */
import { html, useId, useState } from "../base/html.js";

const SAID_MS = 1500;

/** @param {{label: string, texts: Record<string, string>}} props */
export function CopyTabs({ label, texts }) {
  const id = useId();
  const kinds = Object.keys(texts);
  const tab = (one) => `${id}-${kinds.indexOf(one)}`; // a name may have spaces, an id may not
  const [kind, setKind] = useState(kinds[0]);
  const [said, setSaid] = useState("");
  const say = (words) => {
    setSaid(words);
    setTimeout(() => setSaid(""), SAID_MS);
  };
  const copy = () =>
    (navigator.clipboard?.writeText(texts[kind]) ?? Promise.reject(new Error("no clipboard"))).then(
      () => say("Copied"),
      () => say("This browser lets no page copy; select the text instead"),
    );
  const pressed = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = kinds[(kinds.indexOf(kind) + by + kinds.length) % kinds.length];
    setKind(next);
    document.getElementById(tab(next)).focus();
  };
  return html`
    <section class="stack" aria-label=${label}>
      <div class="row between">
        <div class="tabs" role="tablist" aria-label=${label} onKeyDown=${pressed}>
          ${kinds.map(
            (one) => html`
              <button
                key=${one}
                type="button"
                role="tab"
                id=${tab(one)}
                aria-selected=${one === kind ? "true" : "false"}
                aria-controls="${id}-panel"
                tabindex=${one === kind ? 0 : -1}
                onClick=${() => setKind(one)}
              >
                ${one}
              </button>
            `,
          )}
        </div>
        <div class="row">
          <span role="status" class="quiet small">${said}</span><button type="button" onClick=${copy}>Copy</button>
        </div>
      </div>
      <pre id="${id}-panel" role="tabpanel" aria-labelledby=${tab(kind)} tabindex="0">${texts[kind]}</pre>
    </section>
  `;
}
