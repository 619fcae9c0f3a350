/* Whom and what one may pick, as groups of options. An option says `as` whom to ask, or which `item`. */

import { get, Problem } from "./api.js";
import { ago, counted, hue, randomId, shortName } from "./dom.js";

function visitorOption({ user_id: user, session_id: session, events, favourite_category: category, last_event_at: last }) {
  const as = user ? { user_id: user } : { session_id: session };
  const detail = [category, counted(events, "event"), last && ago(last)].filter(Boolean).join(" · ");
  return { label: `${user ? "User" : "Session"} ${shortName(user ?? session)}`, detail, as, hue: hue(category) };
}

/** Somebody nobody knows: a session of its own, so that what is done here reaches the next list. */
const stranger = () => {
  const session_id = `console-${randomId()}`;
  return { label: "A new visitor", detail: "nothing is known of them", as: { session_id } };
};

export async function visitorGroups(text) {
  const people = (await quietly(() => get("inspection/visitors", { limit: 12 }))) ?? { recent: [], known: [] };
  const fits = (option) => !text || `${option.label} ${option.detail}`.toLowerCase().includes(text.toLowerCase());
  const typed = text ? [{ label: `User ${text}`, as: { user_id: text } }, { label: `Session ${text}`, as: { session_id: text } }] : [];
  return [
    { title: "By the shop's own id", options: typed },
    { title: "Here lately", options: people.recent.map(visitorOption).filter(fits) },
    { title: "Known to the release", options: people.known.map(visitorOption).filter(fits) },
    { title: "Nobody", options: text ? [] : [stranger()] },
  ];
}

export async function itemGroups(text) {
  const found = await quietly(() => get("inspection/items", { search: text, limit: 12 }));
  const typed = text ? [{ label: text, detail: "as typed", item: { product_id: text, name: null } }] : [];
  const options = (found?.items ?? []).map((item) => ({ label: item.name ?? item.product_id, detail: [item.category, item.available ? null : "not available"].filter(Boolean).join(" · "), hue: hue(item.category), item }));
  return [{ title: text ? "Found" : "Popular", options }, { title: "By id", options: typed }];
}

/** Null where nothing can be suggested: one can still type. */
async function quietly(work) {
  try {
    return await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return null;
  }
}
