/* Elements, built from text only: nothing here parses HTML, so no name of an item can become markup. */

export const $ = (id) => document.getElementById(id);

/** An element with properties, `on…` handlers, data, attributes and CSS variables; children are elements or text. */
export function h(tag, { on = {}, data = {}, attrs = {}, vars = {}, ...props } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  for (const [name, handler] of Object.entries(on)) element.addEventListener(name, handler);
  for (const [name, value] of Object.entries(attrs)) if (value !== null) element.setAttribute(name, value);
  for (const [name, value] of Object.entries(vars)) element.style.setProperty(`--${name}`, value);
  Object.assign(element.dataset, data);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

/** "1 event", "2 events". */
export const counted = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** A hue for a name: the same name has the same colour everywhere. */
export function hue(name) {
  let hash = 7;
  for (const letter of name ?? "") hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  return (hash * 137.5) % 360;
}

const SPANS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "3 days ago". */
export function ago(instant, now = Date.now()) {
  let distance = Math.min(0, (new Date(instant) - now) / 1000);
  for (const [size, unit] of SPANS) {
    if (Math.abs(distance) < size) return relative.format(Math.round(distance), unit);
    distance /= size;
  }
  return "";
}

export const day = (instant) =>
  instant ? new Date(instant).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }) : "–";

/** Hex digits nobody else has; `randomUUID` would need https. */
export const randomId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** A pseudonym is 32 digits long; eight tell people apart. */
export const shortName = (id) => (/^pseudonym:[0-9a-f]{32}$/.test(id) ? id.slice(10, 18) : id);
