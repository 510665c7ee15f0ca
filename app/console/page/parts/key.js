/** Where a key is given, once the service wants one, and given up. */
import { html } from "../base/html.js";
import { key, use, useKeyWanted } from "../base/key.js";
import { Field } from "./field.js";

export function Key() {
  const wanted = useKeyWanted();
  if (!wanted) return key() && html`<button type="button" class="text small" onClick=${() => use("")}>Forget key</button>`;
  const given = (event) => {
    event.preventDefault();
    use(new FormData(event.target).get("key").trim());
  };
  return html`
    <form class="panel key" onSubmit=${given}>
      <${Field} label="Key" hint="Whoever runs this service gives you one. It is kept until you close this tab."
        >${(more) => html`<input type="password" name="key" autocomplete="off" required ...${more} />`}<//
      >
      <button type="submit" class="main">Use it</button>
    </form>
  `;
}
