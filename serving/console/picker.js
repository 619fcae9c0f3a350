/* A text field with suggestions, after the combobox pattern of the ARIA practices. */

import { h } from "./dom.js";

const TYPING_MS = 120;

/**
 * @param {{input: HTMLInputElement, box: HTMLElement, load: (text: string) => Promise<{title: string, options: object[]}[]>,
 *          pick: (option: object) => void}} parts options have `label`, and may have `detail` and `hue`.
 */
export function picker({ input, box, load, pick }) {
  let options = [];
  let active = -1;
  let asked = 0;
  let waiting = null;

  for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": box.id, "aria-autocomplete": "list" })) {
    input.setAttribute(name, value);
  }
  box.setAttribute("role", "listbox");
  box.setAttribute("aria-label", "Suggestions");

  const isOpen = () => !box.hidden;
  const close = () => {
    asked += 1; // what is still on its way comes too late
    box.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (option) => {
    close();
    pick(option);
  };
  const mark = (index) => {
    active = index;
    const elements = [...box.querySelectorAll('[role="option"]')];
    elements.forEach((element, place) => element.setAttribute("aria-selected", String(place === index)));
    elements[index]?.scrollIntoView({ block: "nearest" });
    if (index >= 0) input.setAttribute("aria-activedescendant", elements[index].id);
    else input.removeAttribute("aria-activedescendant");
  };
  const show = (groups, text) => {
    options = groups.flatMap((group) => group.options);
    let place = 0;
    box.replaceChildren(
      ...groups.filter((group) => group.options.length).map((group) =>
        h("div", { attrs: { role: "group", "aria-label": group.title } },
          h("div", { className: "options-title", textContent: group.title, attrs: { "aria-hidden": "true" } }),
          group.options.map((option) => {
            const mine = place++;
            return h("div", { id: `${box.id}-${mine}`, className: "option", attrs: { role: "option", "aria-selected": "false" }, vars: { hue: option.hue ?? 0 },
                on: { mousedown: (event) => event.preventDefault(), click: () => choose(options[mine]) } },
              option.hue !== undefined && h("i", { className: "dot" }),
              h("span", { className: "option-label", textContent: option.label }),
              option.detail && h("span", { className: "option-detail", textContent: option.detail }));
          }))),
      ...(options.length ? [] : [h("div", { className: "options-title", textContent: "Nothing found" })]),
    );
    box.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(options.length && text ? 0 : -1);
  };
  const open = async (text) => {
    const mine = (asked += 1);
    const groups = await load(text);
    if (mine === asked && document.activeElement === input) show(groups, text);
  };

  input.addEventListener("focus", () => {
    input.select();
    open("");
  });
  input.addEventListener("click", () => isOpen() || open(""));
  input.addEventListener("blur", close);
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => open(input.value.trim()), TYPING_MS);
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!isOpen()) open("");
      else if (options.length) mark((active + step + options.length + (active < 0 && step < 0 ? 1 : 0)) % options.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isOpen() && active >= 0) choose(options[active]);
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      close();
    }
  });
}
