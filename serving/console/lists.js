/* Lists as tiles or as rows, and what moved between two of them. */

import { h, hue, number } from "./dom.js";

/** In the order of the service; one that is added there is shown after these. */
const SOURCES = ["two_tower", "ease", "item_knn", "bought_together", "repurchase", "popular", "trending"];
const EVENTS = [
  { type: "view", label: "View", key: "v" },
  { type: "cart_add", label: "Cart", key: "c" },
  { type: "purchase", label: "Buy", key: "b" },
];

/** Places of one list against another: `of(id)` is places up (negative: down), null for an item the other has not. */
export function moves(before, after) {
  const places = new Map(before.map((item) => [item.product_id, item.position]));
  const now = new Set(after.map((item) => item.product_id));
  const of = ({ product_id: id, position }) => (places.has(id) ? places.get(id) - position : null);
  return {
    of,
    fresh: after.filter((item) => of(item) === null),
    moved: after.filter((item) => of(item)),
    gone: before.filter((item) => !now.has(item.product_id)),
  };
}

export const sourcesOf = (items) => {
  const heard = new Set(items.flatMap((item) => Object.keys(item.sources)));
  return [...SOURCES.filter((name) => heard.has(name)), ...[...heard].filter((name) => !SOURCES.includes(name)).sort()];
};

/** A source has one colour on every list. */
export const colourOf = (source) => `source-${SOURCES.includes(source) ? SOURCES.indexOf(source) : Math.floor(hue(source)) % SOURCES.length}`;

/** What the small columns of each item mean. */
export const legend = (sources) => sources.map((name) => h("span", { className: "legend" }, h("i", { className: `dot ${colourOf(name)}` }), name));

/**
 * Shows a list and keeps what has the focus focused.
 *
 * @param {{onWhy: (item) => void, onEvent: (item, type: string) => void}} [does] what an item's buttons do; none: nothing to press.
 */
export function showList(element, items, { sources, against = null, selected = null, does = null, word = "new", isMove = true }) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const wanted = focused && { id: focused.closest("li")?.dataset.id, part: focused.dataset.part };
  const before = new Map([...element.children].map((child) => [child.dataset.id, child.getBoundingClientRect()]));
  const scores = items.map((item) => item.score);
  const scale = { low: Math.min(...scores), high: Math.max(...scores) };
  const reachable = wanted?.id ?? selected;
  const hasReachable = items.some((item) => item.product_id === reachable);
  element.replaceChildren(
    ...items.map((item, place) =>
      tile(item, { sources, scale, does, word, isMove, move: against ? against.of(item) : 0, isSelected: item.product_id === selected, isReachable: hasReachable ? item.product_id === reachable : place === 0 })),
  );
  if (wanted) {
    const again = [...element.children].find((child) => child.dataset.id === wanted.id);
    (again?.querySelector(`[data-part="${wanted.part}"]`) ?? element.querySelector("[data-part]"))?.focus({ preventScroll: Boolean(again) });
  }
  glide(element, before);
}

function tile(item, { sources, scale, does, move, word, isMove, isSelected, isReachable }) {
  const name = item.name ?? item.product_id;
  const share = scale.high > scale.low ? (item.score - scale.low) / (scale.high - scale.low) : 1;
  const said = Object.entries(item.sources).map(([source, heard]) => `${source} ${number(heard, 2)}`).join(", ");
  const part = does ? "button" : "div";
  return h("li", { className: "tile", data: { id: item.product_id }, vars: { hue: hue(item.category ?? item.source) } },
    h(part, { className: "face", data: { part: "face" }, ...(does && { type: "button", tabIndex: isReachable ? 0 : -1, on: { click: () => does.onWhy(item) } }), attrs: { "aria-current": isSelected ? "true" : null } },
      picture(item, name),
      h("span", { className: "place", textContent: item.position }),
      badge(move, word, isMove),
      h("span", { className: "words" },
        h("span", { className: "name", textContent: name, title: name }),
        h("span", { className: "meta" }, h("span", { className: "category", textContent: item.category ?? "no category" }), h("span", { className: "price", textContent: item.price === null ? "" : item.price.toFixed(2) }))),
      h("span", { className: "bars", title: said, attrs: { role: "img", "aria-label": `Proposed by ${said}; score ${number(item.score)}` } },
        h("span", { className: "columns" }, sources.map((source) => h("i", { className: colourOf(source), vars: { share: item.sources[source] ?? 0 } }))),
        h("span", { className: "score" }, h("b", { textContent: number(item.score) }), h("i", { className: "bar", vars: { share: 0.04 + 0.96 * share } })))),
    does && h("div", { className: "acts" },
      EVENTS.map(({ type, label, key }) =>
        h("button", { type: "button", textContent: label, tabIndex: isReachable ? 0 : -1, data: { part: type }, attrs: { "aria-label": `${label}: ${name}`, "aria-keyshortcuts": key }, on: { click: () => does.onEvent(item, type) } }))));
}

function picture(item, name) {
  const plate = h("span", { className: "plate", attrs: { "aria-hidden": "true" } }, h("span", { textContent: monogram(item.category ?? name) }));
  if (item.image_url) {
    const image = h("img", { alt: "", loading: "lazy", decoding: "async", referrerPolicy: "no-referrer" });
    image.addEventListener("error", () => image.remove()); // the plate beneath it stays
    image.src = item.image_url;
    plate.append(image);
  }
  return plate;
}

const monogram = (words) => [...words.trim()].slice(0, 2).join("").toUpperCase();

function badge(move, word, isMove) {
  if (move === null) return h("span", { className: "move fresh", textContent: word });
  if (!move || !isMove) return null;
  const up = move > 0;
  return h("span", { className: `move ${up ? "up" : "down"}`, textContent: `${up ? "▲" : "▼"}${Math.abs(move)}`, attrs: { "aria-label": `${up ? "up" : "down"} ${Math.abs(move)}` } });
}

/** Items that stayed slide from where they were to where they are; new ones fade in. */
function glide(element, before) {
  if (!before.size || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const child of element.children) {
    const was = before.get(child.dataset.id);
    const is = child.getBoundingClientRect();
    const from = was ? { transform: `translate(${was.left - is.left}px, ${was.top - is.top}px)` } : { opacity: 0 };
    if (!was || was.left !== is.left || was.top !== is.top) child.animate([from, {}], { duration: 380, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

/** Arrow keys walk the items by where they stand on the screen; V, C and B do what the buttons say. */
export function walkable(element) {
  const go = (from, to) => {
    if (!to) return;
    for (const button of from.querySelectorAll("button")) button.tabIndex = -1;
    for (const button of to.querySelectorAll("button")) button.tabIndex = 0;
    to.querySelector(".face").focus();
  };
  element.addEventListener("focusin", (event) => {
    const mine = event.target.closest("li");
    for (const button of element.querySelectorAll("button")) button.tabIndex = mine?.contains(button) ? 0 : -1;
  });
  element.addEventListener("keydown", (event) => {
    const mine = event.target.closest("li");
    if (!mine || event.altKey || event.ctrlKey || event.metaKey) return;
    const does = EVENTS.find(({ key }) => key === event.key.toLowerCase());
    if (does) {
      if (event.repeat) return; // a key held down is one wish
      mine.querySelector(`[data-part="${does.type}"]`).click();
      return;
    }
    const all = [...element.children];
    const place = all.indexOf(mine);
    const columns = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
    const target = { ArrowRight: place + 1, ArrowLeft: place - 1, ArrowDown: place + columns, ArrowUp: place - columns, Home: 0, End: all.length - 1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    go(mine, all[target]);
  });
}
