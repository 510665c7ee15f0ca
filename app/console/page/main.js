/** The page: its head, and the view that the address names. */
import { usePlace } from "./base/address.js";
import { read } from "./base/api.js";
import { html, render, useEffect, useState } from "./base/html.js";
import { Health } from "./parts/health.js";
import { Key } from "./parts/key.js";
import { Notice } from "./parts/notice.js";

const AGAIN_MS = 1500;
const VIEWS = {
  generate: ["Generate", () => import("./generate/view.js")],
  compare: ["Compare", () => import("./compare/view.js")],
  jobs: ["Jobs", () => import("./jobs/view.js")],
  models: ["Models", () => import("./models/view.js")],
  system: ["System", () => import("./system/view.js")],
};

function Page() {
  const { path } = usePlace();
  const name = path[0] in VIEWS ? path[0] : "generate";
  const [title, load] = VIEWS[name];
  useEffect(() => {
    document.title = `${title} · Fewstep`;
  }, [title]);
  return html`
    <a class="skip" href="#content" onClick=${toContent}>To the content</a>
    <header class="head">
      <a class="brand" href="#/generate"><span class="mark" aria-hidden="true"></span>Fewstep</a>
      <nav aria-label="Views">
        ${Object.entries(VIEWS).map(
          ([key, [label]]) =>
            html`<a key=${key} href=${`#/${key}`} aria-current=${key === name ? "page" : null}>${label}</a>`,
        )}
      </nav>
      <${Health} />
      <${Key} />
    </header>
    <main id="content" tabindex="-1"><${View} key=${name} load=${load} /></main>
  `;
}

function View({ load }) {
  const [found, setFound] = useState({});
  useEffect(() => {
    let here = true;
    load().then(
      (module) => here && setFound({ Content: module.default }),
      () => {
        if (!here) return;
        setFound({
          error: new Error(
            "The service does not answer, and a part of this page is missing. It comes with the service.",
          ),
        });
        reloadOnceThere();
      },
    );
    return () => {
      here = false;
    };
  }, []);
  if (found.error) return html`<${Notice} error=${found.error} />`;
  return found.Content ? html`<${found.Content} />` : html`<p class="quiet">Loading…</p>`;
}

/** The address holds all that is shown, so nothing is lost. */
async function reloadOnceThere() {
  for (;;) {
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    try {
      await read("system");
      return location.reload();
    } catch {
      // Still away.
    }
  }
}

function toContent(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

render(html`<${Page} />`, document.getElementById("page"));
