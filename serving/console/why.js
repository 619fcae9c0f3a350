/* The why-trace of one item: who proposed it, what the ranker made of it, what the rules did, which release that was. */

import { day, h, number } from "./dom.js";
import { colourOf } from "./lists.js";

const COUNTED = 6;
const BY_RULE = {
  max_per_category_in_top_10: "too many of its category stood above",
  max_per_seller_in_top_10: "too many of its seller stood above",
  diversity: "likeness to what stands above changed its place",
  exploration: "exploration put it there by chance",
};

/** @param {{made_by: object, live_events: number, degraded: string[]}} trace @param {object} item one of `trace.items` */
export function whyOf(trace, item) {
  return [
    h("p", { className: "verdict", textContent: verdict(item) }),
    stage("1 · Proposed", proposals(item)),
    stage("2 · Ranked", ranking(item)),
    stage("3 · Rules", rules(item)),
    stage("Made by", madeBy(trace)),
  ];
}

const stage = (title, ...body) => h("section", { className: "stage" }, h("h3", { textContent: title }), body);

function verdict(item) {
  if (item.position === null) return item.removed_by.length ? `Not shown: ${item.removed_by.join(", ")}.` : item.score === null ? "Not shown: no source proposed it." : `Not shown: ${number(item.score)} is place ${item.place_by_score ?? "–"} by score.`;
  const loudest = item.sources.filter((source) => source.proposed).sort((a, b) => b.share - a.share)[0];
  return `Place ${item.position} with ${number(item.score)}${loudest ? `, proposed loudest by ${loudest.source}` : ""}.`;
}

function proposals(item) {
  if (!item.sources.length) return h("p", { className: "faint", textContent: "No source proposed it." });
  return h("ul", { className: "rows" }, [...item.sources].sort((a, b) => b.share - a.share).map((said) =>
    h("li", { className: said.proposed ? "" : "faint", title: said.proposed ? "" : "Knows the item, but did not propose it" },
      h("span", { className: "row-name", textContent: said.source }),
      h("span", { className: "track" }, h("i", { className: `bar ${colourOf(said.source)}`, vars: { share: said.share } })),
      h("span", { className: "row-value", textContent: number(said.score, said.score >= 100 ? 0 : 3) }))));
}

function ranking(item) {
  if (!item.ranker) return h("p", { className: "faint", textContent: "No ranker here: the sources' shares, or popularity, made the order." });
  const { base, contributions, others, score } = item.ranker;
  const shown = contributions.slice(0, COUNTED);
  const rest = others + contributions.slice(COUNTED).reduce((sum, part) => sum + part.contribution, 0);
  const parts = [{ feature: "base", contribution: base, value: undefined }, ...shown, { feature: "all others", contribution: rest, value: undefined }];
  const most = Math.max(...parts.map((part) => Math.abs(part.contribution)), 1e-9);
  return [
    h("ul", { className: "rows signed" }, parts.map(({ feature, value, contribution }) =>
      h("li", {},
        h("span", { className: "row-name", title: feature }, feature, value === undefined ? null : h("small", { textContent: ` ${value === null ? "unknown" : compact(value)}` })),
        h("span", { className: "track" }, h("i", { className: contribution < 0 ? "bar minus" : "bar plus", vars: { share: Math.abs(contribution) / most } })),
        h("span", { className: "row-value", textContent: `${contribution < 0 ? "−" : "+"}${number(Math.abs(contribution))}` })))),
    h("p", { className: "sum" }, "score", h("b", { textContent: number(score) })),
  ];
}

function rules(item) {
  const said = [];
  if (item.taste !== 1) said.push(`×${number(item.taste, 2)}, because the visitor cared for it before`);
  if (item.boost !== 1) said.push(`boosted ×${number(item.boost, 2)}`);
  if (item.place_by_score !== null && item.position !== null && item.place_by_score !== item.position) said.push(`by score alone it would stand at ${item.place_by_score}`);
  for (const rule of item.moved_by) said.push(BY_RULE[rule] ?? rule);
  if (item.diversity?.to_product_id) said.push(`${number(item.diversity.likeness, 2)} like ${item.diversity.to_product_id} above it`);
  for (const rule of item.removed_by) said.push(`kept out: ${rule}`);
  if (item.propensity !== null && item.propensity < 1) said.push(`held this place with probability ${number(item.propensity, 3)}`);
  if (!said.length) said.push("Nothing moved, boosted or removed it.");
  return h("ul", { className: "said" }, said.map((words) => h("li", { textContent: words })));
}

function madeBy({ made_by: made, live_events: live, degraded }) {
  const facts = [
    ["release", made.bundle_version],
    ["recipe", made.recipe ?? "–"],
    ["models of", made.models_of],
    ["data", `${day(made.data_start_at)} – ${day(made.cut_at)}`],
    ["live events", String(live)],
    ["Dagster run", made.dagster_run_id ?? "–"],
    ["code", made.code_version ?? "–"],
    ["degraded", degraded.length ? degraded.join(", ") : null],
  ];
  return h("dl", {}, facts.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", { textContent: name }), h("dd", { textContent: value, title: value })]));
}

const compact = (value) => (Number.isInteger(value) ? String(value) : Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
