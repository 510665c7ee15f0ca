/** The request as others would send it, to copy. */
import { address } from "../base/api.js";
import { html } from "../base/html.js";
import { key } from "../base/key.js";
import { CopyTabs } from "../parts/copy.js";

const KINDS = {
  curl: (base, body) => `curl -sS ${quoted(`${base}generate`)} -H 'Content-Type: application/json' \\
  -H 'Accept: image/png'${key() && ' -H "Authorization: Bearer $FEWSTEP_API_KEY"'} -d ${quoted(JSON.stringify(body))} -o pictures.png`,
  "Python client": (base, body) => `from fewstep_client import Client

client = Client(${JSON.stringify(base)})
images = client.generate(${keywords(body)})
images.save("pictures")  # or images.to_numpy(), images[0].to_pil()`,
  OpenAI: (base, { model, steps, n, seed, class_label }) => `import base64, os
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${base}v1`)}, api_key=os.environ.get("FEWSTEP_API_KEY", "none"))
answer = client.images.generate(
    ${keywords({ model: `${model}:${steps}`, prompt: String(class_label ?? ""), n })}, extra_body={"seed": ${seed}}
)
pictures = [base64.b64decode(picture.b64_json) for picture in answer.data]  # PNG`,
  JavaScript: (base, body) => `const answer = await fetch(${JSON.stringify(`${base}generate`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(${JSON.stringify(body)}),
});
const { images, timings } = await answer.json(); // each image: seed, data (PNG in base64)`,
};

/** @param {{body: any}} props */
export function Snippets({ body }) {
  const base = address("./");
  const texts = Object.fromEntries(Object.entries(KINDS).map(([kind, write]) => [kind, write(base, body)]));
  return html`<${CopyTabs} label="This request as" texts=${texts} />`;
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** As arguments of a call in Python. */
function keywords(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(", ");
}
