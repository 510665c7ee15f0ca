/** Jobs: all of them, one of them, or a new one. */
import { usePlace } from "../base/address.js";
import { html } from "../base/html.js";
import { Job } from "./job.js";
import { List } from "./list.js";
import { NewJob } from "./new.js";

export default function Jobs() {
  const { path } = usePlace();
  if (path[1] === "new") return html`<${NewJob} />`;
  return path[1] ? html`<${Job} key=${path[1]} id=${path[1]} />` : html`<${List} />`;
}
