/** Generate, at its thinnest. */
import { read } from "../base/api.js";
import { html, useEffect, useState } from "../base/html.js";

export default function Generate() {
  const [images, setImages] = useState([]);
  useEffect(() => {
    read("generate", { body: { steps: 1, n: 16, seed: 7 } }).then((found) => setImages(found.images));
  }, []);
  return html`${images.map((image) => html`<img width="64" height="64" src=${`data:image/png;base64,${image.data}`} />`)}`;
}
