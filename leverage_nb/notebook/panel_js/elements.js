// The elements of a panel, without content.

const UNITS = { "margin asset": "asset", "base asset": "base", percent: "percent" };

/** @param {string} tag @param {string} name @param {Element | null} parent @param {string} text */
function element(tag, name, parent, text = "") {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  parent?.append(node);
  return node;
}

/** @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} text */
function svg(tag, attributes, text = "") {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escape(String(value))}"`).join("");
  return `<${tag}${written}>${escape(text)}</${tag}>`;
}

/** @param {string} text */
function escape(text) {
  return text.replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`);
}

/** A table. @param {Record<string, string>} header Each column's name, and what it means. @param {string[][]} rows */
function grid(header, rows) {
  const table = element("table", "leverage-grid", null);
  const line = element("tr", "", table);
  for (const [name, help] of Object.entries(header)) element("th", "", line, name).title = help;
  for (const cells of rows) {
    const row = element("tr", "", table);
    for (const cell of cells) element("td", "", row, cell);
  }
  return table;
}

/** A list of words and what they mean. @param {Record<string, string>} words */
function definitions(words) {
  const list = element("dl", "leverage-terms", null);
  for (const [word, meaning] of Object.entries(words)) {
    element("dt", "", list, word);
    element("dd", "", list, meaning);
  }
  return list;
}

/** The elements of a panel, without content. @param {Element} el */
function build(el) {
  el.classList.add("leverage-host");
  const root = element("div", "leverage-panel mathjax_ignore tex2jax_ignore", el);
  root.setAttribute("role", "group");
  const head = element("div", "leverage-head", root);
  const finder = element("div", "leverage-finder", head);
  const symbol = element("input", "leverage-symbol", finder);
  Object.assign(symbol, { type: "text", spellcheck: false, autocomplete: "off" });
  const list = element("div", "leverage-matches", finder);
  // Not crypto.randomUUID: a JupyterLab that is reached by plain HTTP does not have it.
  const id = Math.random().toString(36).slice(2);
  list.id = `leverage-matches-${id}`;
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-controls": list.id, "aria-autocomplete": "list", "aria-label": "symbol",
  })) symbol.setAttribute(name, value);
  list.setAttribute("role", "listbox");
  list.tabIndex = -1;  // a browser would give the focus to a list that scrolls
  const badge = element("span", "leverage-venue", head);
  const searchError = element("span", "leverage-complaint leverage-search-error", head);
  searchError.setAttribute("role", "status");
  const facts = element("span", "leverage-facts", head);
  const marginType = element("button", "leverage-chip leverage-margin-type", facts);
  marginType.type = "button";
  const modes = element("span", "leverage-modes", facts);
  const status = element("span", "leverage-complaint leverage-status", facts);
  const mark = element("span", "leverage-mark", facts);
  const live = element("span", "leverage-live", facts);
  const guard = element("span", "leverage-guard", head);
  const account = element("span", "leverage-account", head);

  const position = element("div", "leverage-position", root);
  const margin = element("div", "leverage-margin", root);

  const body = element("div", "leverage-body", root);
  const left = element("div", "leverage-left", body);
  const plot = element("div", "leverage-plot", left);
  const chart = element("div", "leverage-chart", plot);
  const slider = element("input", "leverage-slider", plot);
  Object.assign(slider, { type: "range", min: 0, max: 1, step: "any" });
  const tip = element("div", "leverage-tip", plot);
  const tiers = element("details", "leverage-details", left);
  element("summary", "", tiers);
  const liquidation = element("details", "leverage-details", left);
  element("summary", "", liquidation);
  const terms = element("details", "leverage-details", left);
  element("summary", "", terms);

  const right = element("div", "leverage-right", body);
  const choice = element("div", "leverage-choice", right);
  const less = element("button", "leverage-step", choice, "−");
  const field = element("input", "leverage-field", choice);
  Object.assign(field, { type: "text", inputMode: "numeric", autocomplete: "off" });
  const more = element("button", "leverage-step", choice, "+");
  const now = element("span", "leverage-now", choice);
  const verdict = element("div", "leverage-verdict", right);
  verdict.id = `leverage-verdict-${id}`;
  const title = element("div", "leverage-verdict-title", verdict);
  const detail = element("div", "leverage-verdict-detail", verdict);
  const nearest = element("button", "leverage-use leverage-nearest", verdict);
  const figures = element("div", "leverage-figures", right);
  const sizing = element("div", "leverage-sizing", right);
  const size = element("input", "leverage-size", sizing);
  Object.assign(size, { type: "text", autocomplete: "off", placeholder: "2m" });
  const units = Object.entries(UNITS).map(([value, name]) => {
    const button = element("button", "leverage-unit", null);
    Object.assign(button, { type: "button" });
    Object.assign(button.dataset, { unit: value, name });
    return button;
  });
  element("span", "leverage-units", sizing).append(...units);
  const stop = element("input", "leverage-stop", element("label", "leverage-stop-label", sizing, "stop "));
  Object.assign(stop, { type: "text", inputMode: "decimal", autocomplete: "off", placeholder: "price" });
  const newPosition = element("div", "leverage-new-position", right);
  const opened = element("div", "leverage-opened", newPosition);
  opened.id = `leverage-opened-${id}`;
  const lowest = element("button", "leverage-use leverage-lowest", newPosition);
  const highest = element("button", "leverage-use leverage-highest", newPosition);

  const actions = element("div", "leverage-actions", root);
  const apply = element("button", "leverage-apply", actions);
  const second = element("button", "leverage-second", actions);
  const reload = element("button", "leverage-reload", actions, "↻");
  const copy = element("button", "leverage-copy", actions, "Copy as code");
  const asOf = element("span", "leverage-as-of", actions);
  const message = element("div", "leverage-messages", root);
  message.setAttribute("role", "status");
  message.setAttribute("aria-live", "polite");

  Object.assign(less, { title: "1x lower (arrow keys); PageDown goes to the next lower tier", type: "button" });
  Object.assign(more, { title: "1x higher (arrow keys); PageUp goes to the next higher tier", type: "button" });
  Object.assign(reload, { title: "Read tiers, setting and account again" });
  reload.setAttribute("aria-label", "Reload");
  less.setAttribute("aria-label", "1x lower");
  more.setAttribute("aria-label", "1x higher");
  size.setAttribute("aria-label", "size of a new position");
  stop.setAttribute("aria-label", "stop price of the new position");
  stop.setAttribute("aria-describedby", opened.id);
  field.setAttribute("aria-describedby", verdict.id);
  // JupyterLab would take the arrow keys for its cells.
  for (const node of [symbol, slider, field, size, stop]) node.dataset.lmSuppressShortcuts = "true";
  return {
    root, symbol, list, badge, searchError, marginType, modes, status, mark, live, guard, account, position, margin,
    plot, chart, slider, tip, tiers, liquidation, terms, less, field, more, now, verdict, title, detail, nearest,
    figures, size, units, stop, newPosition, opened,
    lowest, highest, apply, second, reload, copy, asOf, message,
  };
}
