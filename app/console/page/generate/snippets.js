/** The request as others would send it, to copy. */
import { address } from "../base/api.js";
import { html } from "../base/html.js";
import { key } from "../base/key.js";
import { CopyTabs } from "../parts/copy.js";

const KINDS = {
  curl: (url, body) => `curl -sS ${quoted(url)} -H 'Content-Type: application/json' \\
  -H 'Accept: image/png'${key() && ' -H "Authorization: Bearer $FEWSTEP_API_KEY"'} -d ${quoted(JSON.stringify(body))} -o pictures.png`,
  Python: (url, body) => `import io, json, urllib.request
import numpy as np

request = urllib.request.Request(
    ${JSON.stringify(url)},
    json.dumps(${python(body)}).encode(),
    {"Content-Type": "application/json", "Accept": "application/x-npy"},
)
with urllib.request.urlopen(request) as answer:
    images = np.load(io.BytesIO(answer.read()))  # (n, height, width, channels), uint8`,
  JavaScript: (url, body) => `const answer = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(${JSON.stringify(body)}),
});
const { images, timings } = await answer.json(); // each image: seed, data (PNG in base64)`,
};

/** @param {{body: object}} props */
export function Snippets({ body }) {
  const url = address("generate");
  const texts = Object.fromEntries(Object.entries(KINDS).map(([kind, write]) => [kind, write(url, body)]));
  return html`<${CopyTabs} label="This request as" texts=${texts} />`;
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function python(body) {
  return `{${Object.entries(body)
    .map(([name, value]) => `"${name}": ${JSON.stringify(value)}`)
    .join(", ")}}`;
}
