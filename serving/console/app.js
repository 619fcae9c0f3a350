/* Ties the parts together: what is picked, what is asked, what is shown. */

import { get, getWhenWritten, key, post, Problem } from "./api.js";
import { $, counted, day, h, randomId } from "./dom.js";
import { historyOf } from "./history.js";
import { legend, moves, showList, sourcesOf, walkable } from "./lists.js";
import { picker } from "./picker.js";
import { visitorGroups, itemGroups } from "./suggestions.js";
import { whyOf } from "./why.js";

const SURFACES = [
  { id: "homepage", label: "Home", ask: (visitor, _items, limit) => get("recommendations/homepage", { ...visitor, limit }) },
  { id: "product", label: "Product", items: 1, ask: (visitor, [item], limit) => get(`recommendations/product/${encodeURIComponent(item)}`, { ...visitor, limit }) },
  { id: "bought_together", label: "Bought together", items: 1, ask: (visitor, [item], limit) => get(`recommendations/frequently-bought-together/${encodeURIComponent(item)}`, { ...visitor, limit }) },
  { id: "cart", label: "Cart", items: 20, ask: (visitor, item_ids, limit) => post("recommendations/cart", { ...visitor, item_ids, limit }) },
  { id: "rank", label: "My items", items: 100, ask: (visitor, item_ids, limit) => post("rank", { ...visitor, item_ids, limit }) },
];

const picked = { visitor: null, surface: SURFACES[0], items: [], limit: 12, beside: "" };
const shown = { list: null, against: null, other: null, why: null, selected: null };
const NAMED = 5; // of the items that went
let turn = 0; // of the list asked for last: an answer to an older question is not shown

/* ---- the key ---- */

function askForKey(trouble = "") {
  $("desk").hidden = $("change-key").hidden = true;
  $("key-form").hidden = false;
  $("release").textContent = "";
  said($("key-trouble"), trouble);
  $("key").value = "";
  $("key").focus();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value.trim());
  start();
});
$("change-key").addEventListener("click", () => {
  key.forget();
  askForKey();
});

/* ---- trouble, in words ---- */

function said(element, words, ...more) {
  element.hidden = !words;
  element.replaceChildren(words, ...more);
}

/** Runs what may fail; false when it did, and then it says why. Without a live key nothing else can be done. */
async function attempt(work, again = null) {
  try {
    await work();
    return true;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) {
      key.forget();
      askForKey(`${problem.message} Paste one that is live.`);
    } else {
      const wait = problem.retryAfter ? ` Ask again in ${problem.retryAfter} s.` : "";
      const button = again && h("button", { type: "button", textContent: "Ask again", on: { click: again } });
      said($("trouble"), h("span", {}, h("b", { textContent: `${heading(problem)} ` }), `${problem.message} ${problem.remedy}${wait}`), ...(button ? [button] : []));
    }
    return false;
  }
}

const heading = ({ status }) =>
  ({ 0: "No answer.", 403: "This key may not do that.", 404: "Not there.", 410: "Gone.", 429: "Too many requests.", 503: "Not now." })[status] ?? `Error ${status}.`;

/** What only an admin key is told; null from any other, and the rest of the page goes on. */
async function ifAllowed(work) {
  try {
    return await work();
  } catch (problem) {
    if (problem.status === 403) return null;
    throw problem;
  }
}

/* ---- the list ---- */

/** Asks for the list that is picked and shows it with all that goes with it. */
async function ask() {
  if (await load({ keep: false })) await surround();
}

/** Asks for the list and shows it; false when there is none, or when another was asked for meanwhile. */
async function load({ keep }) {
  const mine = (turn += 1);
  const { surface, visitor, limit } = picked;
  if (!visitor) return false; // nobody is picked yet; whoever will be is asked for then
  if (surface.items && !picked.items.length) {
    showNothing(surface.items === 1 ? "Choose an item for this surface." : "Choose items for this surface.");
    return false;
  }
  const before = keep ? shown.list : null;
  if (!keep) showWaiting();
  const started = performance.now();
  const ids = picked.items.map((item) => item.product_id).slice(0, surface.items);
  let list = null;
  await attempt(async () => {
    list = await surface.ask(visitor.as, ids, limit);
  }, ask);
  if (mine !== turn) return false;
  if (!list) {
    if (!keep) showNothing("No list.");
    return false;
  }
  said($("trouble"), "");
  shown.list = list;
  shown.why = null;
  shown.other = null;
  shown.against = before && moves(before.recommendations, list.recommendations);
  if (!list.recommendations.some((item) => item.product_id === shown.selected)) shown.selected = list.recommendations[0]?.product_id ?? null;
  showAnswer(performance.now() - started);
  return true;
}

/** What stands around the list that is shown. */
const surround = () => Promise.all([showHistory(), explain(), compare()]);

function showWaiting() {
  $("status").textContent = "Asking …";
  $("facts").replaceChildren();
  said($("gone"), "");
  $("list").replaceChildren(...Array.from({ length: Math.min(picked.limit, 12) }, () => h("li", { className: "tile waiting", attrs: { "aria-hidden": "true" } })));
}

function showNothing(words) {
  shown.list = shown.why = null;
  $("status").textContent = "";
  $("facts").replaceChildren();
  said($("gone"), "");
  $("list").replaceChildren(h("li", { className: "nothing", textContent: words }));
  $("why-title").textContent = "Why";
  $("why-body").replaceChildren(h("p", { className: "faint", textContent: "Pick an item of a list." }));
  $("other").hidden = $("champion-title").hidden = true;
  $("pair").classList.remove("two");
}

function showAnswer(took) {
  $("status").textContent = `${counted(shown.list.recommendations.length, "item")} in ${took.toFixed(0)} ms`;
  showFacts();
  draw();
  const gone = shown.against?.gone ?? [];
  const names = gone.slice(0, NAMED).map((item) => item.name ?? item.product_id).join(" · ");
  said($("gone"), gone.length ? h("b", { textContent: "Gone " }) : "", `${names}${gone.length > NAMED ? ` · ${gone.length - NAMED} more` : ""}`);
}

function showFacts() {
  const { list, other } = shown;
  const beside = other && moves(other.recommendations, list.recommendations);
  const aboutItems = picked.surface.id !== "homepage" && picked.surface.id !== "rank";
  const chips = [
    beside && h("span", { className: "chip", textContent: `${list.recommendations.length - beside.fresh.length} of ${list.recommendations.length} in both, ${beside.moved.length} at other places` }),
    aboutItems && h("span", { className: "chip", textContent: "about items" }),
    list.context.personalised
      ? h("span", { className: "chip", textContent: "personal" })
      : !aboutItems && h("span", { className: "chip", textContent: "popular: nothing is known of this visitor" }),
    ...list.degraded.map((stage) => h("span", { className: "chip warn", textContent: `degraded: ${stage}` })),
    ...(list.removed ?? []).map((one) => h("span", { className: "chip warn", textContent: `${one.product_id}: ${one.rules.join(", ")}` })),
  ];
  $("facts").replaceChildren(...chips.filter(Boolean), ...legend(sourcesOf([...list.recommendations, ...(other?.recommendations ?? [])])));
}

function draw() {
  const items = shown.list.recommendations;
  if (!items.length) return $("list").replaceChildren(h("li", { className: "nothing", textContent: "No item may be shown here." }));
  const other = shown.other?.recommendations;
  const sources = sourcesOf([...items, ...(other ?? [])]);
  const beside = other && moves(other, items);
  showList($("list"), items, { sources, against: beside ?? shown.against, word: beside ? "only here" : "new", isMove: !beside, selected: shown.selected, does: { onWhy: select, onEvent: send } });
  if (other) showList($("other-list"), other, { sources, against: moves(items, other), word: "only here" });
  return null;
}

function select(item) {
  shown.selected = item.product_id;
  for (const face of $("list").querySelectorAll(".face")) {
    if (face.closest("li").dataset.id === item.product_id) face.setAttribute("aria-current", "true");
    else face.removeAttribute("aria-current");
  }
  showWhy();
  if (matchMedia("(max-width: 1099px)").matches) $("why-title").focus();
}

/* ---- events ---- */

function send(item, event_type) {
  const event = { ...picked.visitor.as, item_id: item.product_id, event_type, event_id: `console-${randomId()}`, request_id: shown.list.request_id };
  if (event_type === "purchase") Object.assign(event, { quantity: 1, ...(item.price !== null && { price: item.price }) });
  return deliver(item, event);
}

// Trying again sends the same event: one that was recorded although no answer came counts once.
async function deliver(item, event) {
  $("status").textContent = "Sending …";
  let acknowledged = 0;
  const went = await attempt(async () => {
    await post("interactions", event);
    acknowledged = performance.now();
  }, () => deliver(item, event));
  if (!went) return;
  if (await load({ keep: true })) {
    const took = performance.now() - acknowledged;
    const { fresh, moved, gone } = shown.against;
    const change = fresh.length + moved.length + gone.length ? `${moved.length} moved, ${fresh.length} new, ${gone.length} gone` : "the same list";
    $("status").replaceChildren(h("b", { textContent: `${took.toFixed(0)} ms` }), ` from the acknowledged event to this list: ${change}`);
    await surround();
  }
}

/* ---- what stands around the list ---- */

async function showHistory() {
  const { visitor } = picked;
  await attempt(async () => {
    const past = await ifAllowed(() => get("inspection/history", { ...visitor.as, limit: 40 }));
    if (visitor !== picked.visitor) return;
    $("history").replaceChildren(...historyOf(past));
  });
}

async function explain() {
  const { request_id: request } = shown.list;
  $("why-body").setAttribute("aria-busy", "true");
  await attempt(async () => {
    const why = await getWhenWritten(`explain/${encodeURIComponent(request)}`);
    if (shown.list?.request_id !== request) return;
    shown.why = why;
    showWhy();
  });
  $("why-body").removeAttribute("aria-busy");
}

function showWhy() {
  const item = shown.list.recommendations.find((one) => one.product_id === shown.selected);
  const why = shown.why?.items.find((one) => one.product_id === shown.selected);
  $("why-title").textContent = item ? `Why ${item.name ?? item.product_id}` : "Why";
  if (why) $("why-body").replaceChildren(...whyOf(shown.why, why));
  else if (!item) $("why-body").replaceChildren(h("p", { className: "faint", textContent: "Pick an item of the list." }));
}

async function whyMissing(item) {
  if (!shown.list) return;
  await attempt(async () => {
    const why = await getWhenWritten(`explain/${encodeURIComponent(shown.list.request_id)}`, { product_id: item.product_id });
    $("why-title").textContent = `Why ${item.name ?? item.product_id}`;
    $("why-body").replaceChildren(...whyOf(why, why.items[0]));
  });
}

async function compare() {
  const version = picked.beside;
  const { list } = shown;
  $("pair").classList.toggle("two", Boolean(version));
  $("other").hidden = $("champion-title").hidden = !version;
  if (!version) return;
  $("champion-title").replaceChildren("Champion ", h("small", { textContent: list.bundle_version }));
  $("other-title").replaceChildren("Beside it ", h("small", { textContent: version }));
  let other = null;
  await attempt(async () => {
    other = await getWhenWritten("inspection/comparison", { request_id: list.request_id, version });
  });
  if (shown.list !== list || picked.beside !== version) return;
  shown.other = other;
  if (!other) {
    $("other-list").replaceChildren(h("li", { className: "nothing", textContent: "No list of this version; the reason stands above." }));
    return;
  }
  showFacts();
  draw();
}

/* ---- what is picked ---- */

function pickVisitor(option) {
  picked.visitor = option;
  $("visitor").value = option.label;
  $("visitor").blur();
  return ask();
}

function pickItem({ item }) {
  const many = picked.surface.items > 1;
  const others = picked.items.filter((one) => one.product_id !== item.product_id);
  picked.items = many ? [...others, item] : [item];
  $("items").value = many ? "" : (item.name ?? item.product_id);
  showChosen();
  return ask();
}

function showChosen() {
  const many = picked.surface.items > 1;
  $("items-field").hidden = !picked.surface.items;
  $("items-label").textContent = many ? "Items" : "Item";
  if (!many) $("items").value = picked.items.at(-1)?.name ?? picked.items.at(-1)?.product_id ?? "";
  else $("items").value = "";
  $("chosen").replaceChildren(...(many ? picked.items : []).map((item) =>
    h("li", {}, h("button", { type: "button", className: "chip", attrs: { "aria-label": `Remove ${item.name ?? item.product_id}` },
      on: { click: () => { picked.items = picked.items.filter((one) => one !== item); showChosen(); ask(); } } }, `${item.name ?? item.product_id} ✕`))));
}

function pickSurface(surface) {
  picked.surface = surface;
  if (surface.items === 1) picked.items = picked.items.slice(-1);
  // An item's page needs an item: the one that is looked at is as good as any.
  if (surface.items && !picked.items.length) picked.items = shown.list?.recommendations.filter((item) => item.product_id === shown.selected) ?? [];
  showChosen();
  return ask();
}

/* ---- the start ---- */

async function showRelease() {
  const model = await get("model");
  const facts = [model.bundle_version, `data until ${day(model.cut_at)}`, `${model.num_items.toLocaleString("en")} items`, `${model.num_users.toLocaleString("en")} users`];
  $("release").replaceChildren(h("i", { className: "lamp", attrs: { "aria-hidden": "true" } }), ...facts.map((fact) => h("span", { textContent: fact })));
}

async function offerReleases() {
  const kept = await ifAllowed(() => get("inspection/releases"));
  const others = (kept?.releases ?? []).filter((release) => !release.is_live);
  const options = others.map((release) =>
    h("option", { value: release.bundle_version, disabled: Boolean(release.problem), title: release.problem ?? `Opening it takes about ${megabytes(release.size_bytes)} MB of memory` },
      release.problem ? `${release.bundle_version} (damaged)` : `${release.bundle_version} · ${release.recipe ?? "no recipe"} · ${megabytes(release.size_bytes)} MB`));
  const none = kept ? (others.length ? "no other version" : "no other version is kept") : "needs an admin key";
  $("beside").replaceChildren(h("option", { value: "", textContent: none }), ...options);
  $("beside").disabled = !others.length;
}

const megabytes = (bytes) => Math.max(1, Math.round(bytes / 1e6));

async function start() {
  $("key-form").hidden = true;
  $("desk").hidden = $("change-key").hidden = false;
  said($("trouble"), "");
  showWaiting();
  const went = await attempt(() => Promise.all([showRelease(), offerReleases()]), start);
  if (!went) {
    if (key.get()) showNothing("Nothing to show yet.");
    return;
  }
  picked.beside = "";
  const [, recent, known, nobody] = await visitorGroups("");
  await pickVisitor([...recent.options, ...known.options, ...nobody.options][0]);
}

for (const surface of SURFACES) {
  const id = `surface-${surface.id}`;
  $("surfaces").append(
    h("input", { type: "radio", name: "surface", id, checked: surface === picked.surface, on: { change: () => pickSurface(surface) } }),
    h("label", { htmlFor: id, textContent: surface.label }),
  );
}
picker({ input: $("visitor"), box: $("visitor-options"), load: visitorGroups, pick: pickVisitor });
picker({ input: $("items"), box: $("items-options"), load: itemGroups, pick: pickItem });
picker({ input: $("missing"), box: $("missing-options"), load: itemGroups, pick: ({ item }) => { $("missing").value = item.name ?? item.product_id; whyMissing(item); } });
$("visitor").addEventListener("blur", () => { $("visitor").value = picked.visitor?.label ?? ""; });
$("limit").addEventListener("change", () => { picked.limit = Number($("limit").value); ask(); });
$("beside").addEventListener("change", () => {
  picked.beside = $("beside").value;
  shown.other = null;
  if (!shown.list) return;
  shown.against = null;
  showFacts();
  draw();
  compare();
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
walkable($("list"));

if (key.get()) start();
else askForKey();
