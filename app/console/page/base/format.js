/** Numbers, times and sizes for people. */

const DASH = "–";

/** A number with so many significant digits. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return DASH;
  return Number(value).toLocaleString("en", { maximumSignificantDigits: digits });
}

export function whole(value) {
  return value === null || value === undefined ? DASH : Number(value).toLocaleString("en");
}

/** Seconds: `4.1 ms`, `1.2 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 1) return `${number(1000 * seconds, seconds < 0.001 ? 1 : 2)} ms`;
  if (seconds < 59.5) return `${number(seconds, 2)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
}

/** A time of the service in that of whoever looks. */
export function time(text) {
  return text ? new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : DASH;
}

/** How long ago a time was. */
export function ago(text) {
  return text ? `${duration(Math.max(0, Math.round((Date.now() - Date.parse(text)) / 1000)))} ago` : DASH;
}

export function plural(count, noun) {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function shape([channels, height, width]) {
  return `${width} × ${height}, ${channels === 1 ? "grey" : channels === 3 ? "colour" : `${channels} channels`}`;
}
