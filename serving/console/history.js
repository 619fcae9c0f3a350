/* What somebody did, newest first. */

import { ago, counted, h, hue } from "./dom.js";

const DID = { view: "viewed", cart_add: "put into the cart", purchase: "bought", cart_remove: "taken out of the cart", recommendation_click: "clicked in a list", click: "clicked", wishlist_add: "wished for", favorite: "favoured", return: "returned" };

/** @param {object | null} past null: it may not be told. */
export function historyOf(past) {
  if (!past) return [h("p", { className: "faint", textContent: "What one person did is told to keys with the scope admin only." })];
  if (!past.events.length) return [h("p", { className: "faint", textContent: "Nothing yet: a cold start. The list is what is popular, until something is done." })];
  const late = past.degraded.length ? h("p", { className: "chip warn", textContent: "newer events may be missing" }) : null;
  const rows = past.events.map((event) =>
    h("li", { className: event.is_live ? "live" : "", vars: { hue: hue(event.item.category) } },
      h("i", { className: `did did-${event.event_type}`, title: event.event_type, attrs: { "aria-hidden": "true" } }),
      h("span", { className: "event-item", textContent: event.item.name ?? event.item.product_id, title: event.item.name ?? "" }),
      h("span", { className: "event-when", textContent: `${DID[event.event_type] ?? event.event_type}, ${ago(event.occurred_at)}` })));
  const count = h("p", { className: "faint", textContent: `${counted(past.total, "event")}, ${past.live} since the release${past.total > past.events.length ? `; the newest ${past.events.length}` : ""}` });
  return [count, ...(late ? [late] : []), h("ol", { className: "events", tabIndex: 0, attrs: { "aria-label": "Events, newest first" } }, rows)];
}
