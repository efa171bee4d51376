// The browser side of the leverage panel. The kernel sends a table with one row per leverage, with texts ready to show;
// the browser only selects a row, so everything follows the slider while the kernel is busy.
//
// One function derives what is shown from the model and from what this view alone knows, and one function per part
// shows it.

/**
 * One leverage of the table.
 * @typedef {object} Row
 * @property {number} cap Max notional.
 * @property {string} capText The same as text.
 * @property {"unchanged" | "ok" | "mind" | "unpredictable" | "refused" | "forbidden"} verdict
 * @property {string} title The verdict in words.
 * @property {string} detail Its certainty, or what to do next.
 * @property {number} nearest The nearest leverage that fits; 0 for none.
 * @property {[string, string, string][]} figures For each figure of the table: its value, a note, the note's tone.
 */

/**
 * A time: seconds since the epoch, the time of day, and the whole moment as text.
 * @typedef {{epoch: number, time: string, moment: string}} Time
 */

/**
 * One side of the position; two in hedge mode.
 * @typedef {object} Side
 * @property {string} side
 * @property {string} tone
 * @property {[string, string, string][]} fields
 * @property {"BOTH" | "LONG" | "SHORT"} positionSide
 * @property {boolean} isolated
 */

/**
 * Everything shown of one symbol.
 * @typedef {object} Table
 * @property {number} version
 * @property {string} symbol
 * @property {string} venue
 * @property {string} badge HTML.
 * @property {boolean} realMoney
 * @property {string} account
 * @property {string} asset
 * @property {string} base
 * @property {string} marginType
 * @property {string} modes The position mode and the multi-assets mode of the account.
 * @property {string} notTrading The symbol's status if it is not traded; "" if it is.
 * @property {string} mark
 * @property {Time | null} asOf When the account was read.
 * @property {Time | null} leverageAsOf When the leverage was changed or read, if that was later.
 * @property {{text: string, lifted: boolean} | null} guard
 * @property {number} current 0 if the leverage is not set.
 * @property {string} before
 * @property {number} start The leverage to return to.
 * @property {Side[]} position
 * @property {string} orders
 * @property {number} exposure
 * @property {string} exposureText
 * @property {{name: string, help: string, now: string}[]} figures
 * @property {{name: string, help: string, value: string}[]} fixed
 * @property {Row[]} rows From 1x.
 * @property {{from: number, to: number, label: string}[]} regions
 * @property {number[]} edges The leverage of each tier, ascending.
 * @property {string[][]} tiers
 */

/**
 * A new position of the size that was typed, at every leverage.
 * @typedef {object} NewPosition
 * @property {string} symbol
 * @property {string} text
 * @property {string} unit
 * @property {string} size
 * @property {number[]} notional
 * @property {[string, string, string, string][]} rows Margin, why it is not affordable, liquidation long and short.
 * @property {number} lowest The lowest leverage that affords it; 0 for none.
 * @property {string} advice
 * @property {string} stop The price of the stop as typed; "" for none. Without a size there is only this, and the symbol.
 * @property {string} buffer The share of the stop's price between it and liquidation, at least.
 * @property {number} highest The highest leverage that keeps liquidation beyond the stop; 0 for none.
 * @property {string} stopAdvice
 */

/**
 * What this view alone knows.
 * @typedef {object} Ui
 * @property {string | null} typed Text in the leverage field that is being edited.
 * @property {string | null} search Text in the symbol field that is being edited.
 * @property {number} active The highlighted match.
 * @property {string} searchError
 * @property {string} lost Why the kernel cannot be reached; "" if it can.
 * @property {boolean} gone Whether it cannot come back.
 * @property {boolean} answered Whether the kernel has answered this view: a saved or exported page has no kernel.
 * @property {string} noAnswer What to say while it has not; "" at first.
 * @property {number} clicks The number of the last click.
 * @property {string} asked What the last click asks for.
 * @property {boolean} blocks Whether nothing else can be changed before the last click is handled.
 * @property {string} messageBefore The message at the last click.
 * @property {number} since When the question of a confirmation was shown.
 * @property {boolean} copied
 * @property {string | null} size Text in the size field that is being edited.
 * @property {string | null} stop Text in the stop field that is being edited.
 * @property {number} width Width of the chart.
 * @property {number} tall Height of its plot: less in one column, so that chart and decision fit on a screen.
 * @property {number} saidAt The leverage at which the message was shown.
 */

// How long the kernel may take for its first answer before the panel says that none came.
const NO_ANSWER_MS = 8000;
const NO_ANSWER = "The kernel has not answered yet. It may be busy. If this page was saved or exported, it has no kernel: "
  + "open the notebook in Jupyter and run the cell again.";
const MOST_MATCHES = 60;
const TOUCH_SLOP = 10;  // px
const TWO_COLUMNS = 880;  // px, as in panel.css
const PLOT = { left: 46, right: 16, top: 26, track: 22, bottom: 54 };
const UNITS = { "margin asset": "asset", "base asset": "base", percent: "percent" };

// -- pure functions -----------------------------------------------------------------------------------------------

/** @param {number} leverage @param {number} max @returns {number} its place on the axis, from 0 to 1 */
export function share(leverage, max) {
  return max > 1 ? Math.log(leverage) / Math.log(max) : 0;
}

/** @param {number} place @param {number} max @returns {number} the leverage at a place on the axis */
export function leverageAt(place, max) {
  return Math.min(max, Math.max(1, Math.round(max ** place)));
}

/** @param {string} text @param {Table} table @returns {string} why the text is no leverage; "" if it is one */
export function complaint(text, table) {
  const max = table.rows.length;
  const number = /^\s*([0-9]{1,6})x?\s*$/i.exec(text)?.[1];
  if (number === undefined) return `Enter a whole number from 1 to ${max}.`;
  if (Number(number) > max) return `${Number(number)}x is above ${table.symbol}'s maximum of ${max}x.`;
  return Number(number) < 1 ? "The lowest leverage is 1x." : "";
}

/** @param {string} query @param {string} symbol @returns {number} how well it matches, 0 is best; Infinity if not at all */
export function rank(query, symbol) {
  const exact = [query, `${query}USDT`].indexOf(symbol);
  if (exact >= 0) return exact;
  if (symbol.startsWith(query)) return 2;
  if (symbol.includes(query)) return 3;
  let at = 0;
  for (const letter of symbol) if (letter === query[at]) at += 1;
  return at === query.length ? 4 : Infinity;
}

/** @param {string} text @param {string[][]} symbols @returns {string[][]} the matching symbols, best first */
export function search(text, symbols) {
  const query = text.toUpperCase().replace(/[\s/:_-]/g, "");
  if (query === "") return symbols;
  // Traders write kPEPE for 1000PEPE.
  const queries = query.startsWith("K") ? [query, `1000${query.slice(1)}`] : [query];
  return symbols
    .map((row, place) => ({ row, place, rank: Math.min(...queries.map(each => rank(each, row[0].replace("_", "")))) }))
    .filter(match => match.rank < Infinity)
    .sort((a, b) => a.rank - b.rank || (b.row[2] !== "") - (a.row[2] !== "") || a.place - b.place)
    .map(match => match.row);
}

/**
 * Everything that is shown, from the model and this view.
 * @param {any} model @param {Ui} ui
 */
export function deriveState(model, ui) {
  /** @type {Table} */
  const table = model.get("table");
  const leverage = model.get("leverage");
  const phase = model.get("state");
  const wrong = ui.typed === null ? "" : complaint(ui.typed, table);
  const row = wrong === "" ? table.rows[leverage - 1] : undefined;
  const question = model.get("question");
  const asks = row !== undefined && phase === "confirming" && question.leverage === leverage;
  const pending = ui.clicks > model.get("answered");
  const busy = (pending && ui.blocks) || !ui.answered || ui.lost !== "" || phase === "applying" || phase === "checking";
  const changes = row !== undefined && ["ok", "mind", "unpredictable"].includes(row.verdict);
  /** @type {NewPosition | null} */
  const newPosition = model.get("new_position").symbol === table.symbol ? model.get("new_position") : null;
  return {
    table, leverage, row, wrong, phase, asks, question, pending, busy, changes,
    max: table.rows.length,
    step: row && row.verdict !== "unchanged" ? `${table.before} → ${leverage}x` : "",
    readable: performance.now() - ui.since > readingTime(question),
    undo: model.get("undo"),
    options: model.get("options"),
    live: ui.lost ? "lost" : ui.answered ? model.get("live") : "waiting",
    liveReason: ui.lost || (ui.answered ? model.get("live_reason") : ""),
    newPosition: newPosition?.rows ? newPosition : null,
    stop: newPosition?.stop ?? "",
    message: model.get("message"),
    matches: ui.search === null ? null : search(ui.search, model.get("symbols")),
  };
}

/** @param {any} question @returns {number} milliseconds for which it must be on the screen before an answer counts */
function readingTime(question) {
  return 1000 * (question.seconds ?? 0);
}

/** @param {Time | null} at @returns {string} its time of day, with the date if that is not today's */
export function timeText(at) {
  if (at === null) return "";
  return new Date(at.epoch * 1000).toDateString() === new Date().toDateString() ? at.time : at.moment;
}

// -- building blocks ----------------------------------------------------------------------------------------------

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

// -- one function per part ----------------------------------------------------------------------------------------

const FOLLOWED = "Changes of leverage, margin, positions and multi-assets mode that are made elsewhere are shown";
const NOT_FOLLOWED = "Open orders, the position mode and prices are read with them; Reload reads them at any time";

const LIVE = {
  waiting: ["○ waiting for the kernel", "The kernel has not answered this page yet"],
  connecting: ["○ connecting", "The exchange's events are not connected yet"],
  connected: ["○ connected, no event yet", `${FOLLOWED} within about a minute. ${NOT_FOLLOWED}`],
  live: ["● live", `${FOLLOWED} within seconds. ${NOT_FOLLOWED}`],
  stale: ["○ stale", "Reload shows changes made elsewhere: "],
  lost: ["○ no kernel", ""],
};

const TERMS = {
  notional: "Position size at mark price, in the margin asset",
  entry: "Average entry price",
  mark: "The exchange's mark price: profit, margin and liquidation use it",
  PnL: "Unrealised profit at mark price",
  liquidation: "The mark price at which the position is liquidated, and how far away it is",
  "margin used": "Initial margin of the position: notional divided by leverage",
  "isolated margin": "The position's own margin; it stays if the leverage is raised",
};

const TIER_TERMS = {
  "max leverage": "The highest leverage that a position of this size may have",
  "notional above": "The tier begins above this position size, in the margin asset",
  "up to": "The largest position size of the tier, in the margin asset",
  maintenance: "Maintenance margin rate: the part of the notional that must remain as margin",
  amount: "Maintenance amount: it is deducted from notional times rate, so that the margin does not jump between tiers",
};

const LIQUIDATION_TERMS = {
  leverage: "The initial leverage of the new position",
  margin: "Initial margin of the new position: notional divided by leverage",
  "liquidation long": "The mark price at which a new isolated long position is liquidated, without fees",
  "liquidation short": "The mark price at which a new isolated short position is liquidated, without fees",
};

function showHead(parts, state, ui) {
  const { table } = state;
  parts.badge.innerHTML = table.badge;
  write(parts.marginType, table.marginType);
  const other = OTHER_MARGIN_TYPE[table.marginType];
  parts.marginType.title = "Margin type of the symbol: cross shares the balance, isolated has margin of its own. "
    + (other ? `Click to change it to ${other}` : "");
  parts.marginType.setAttribute("aria-label", `margin type ${table.marginType}${other ? `, change to ${other}` : ""}`);
  write(parts.modes, table.modes);
  parts.modes.title = "Modes of the account; they apply to all symbols, and are changed at Binance";
  parts.mark.innerHTML = `mark <b>${escape(table.mark)}</b>`;
  parts.mark.title = `The exchange's mark price as of ${table.asOf?.moment ?? "an unknown time"}; margin and liquidation use it`;
  write(parts.status, table.notTrading && `not trading (${table.notTrading})`);
  write(parts.account, table.account);
  parts.account.title = "The account, as a fingerprint of its key";
  write(parts.guard, table.guard?.text ?? "");
  parts.guard.hidden = table.guard === null;
  parts.guard.title = "Your own upper bound on leverage; nothing above it is sent";
  parts.guard.classList.toggle("leverage-lifted", table.guard?.lifted ?? false);
  parts.root.classList.toggle("leverage-real-money", table.realMoney);
  parts.root.setAttribute("aria-label", `${table.venue} ${table.symbol}`);
  showLive(parts, state);
  showSearch(parts, state, ui);
}

function showLive(parts, state) {
  const [text, title] = LIVE[state.live] ?? ["", ""];
  parts.live.dataset.live = state.live;
  write(parts.live, text);
  parts.live.title = title + state.liveReason;
}

function showSearch(parts, state, ui) {
  const { matches, table } = state;
  const open = matches !== null;
  if (!open) parts.symbol.value = table.symbol;
  parts.symbol.setAttribute("aria-expanded", String(open));
  parts.list.hidden = !open;
  write(parts.searchError, ui.searchError);
  if (!open) {
    parts.symbol.removeAttribute("aria-activedescendant");
    return;
  }
  const rows = matches.slice(0, MOST_MATCHES).map(([symbol, leverage, position, max], place) => {
    const row = element("div", "leverage-match", null);
    row.id = `${parts.list.id}-${place}`;
    row.dataset.symbol = symbol;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(place === ui.active));
    for (const text of [symbol, position, leverage, `max ${max}`]) element("span", "", row, text);
    return row;
  });
  if (matches.length > MOST_MATCHES) {
    rows.push(element("div", "leverage-no-match", null, `${matches.length - MOST_MATCHES} more: type to narrow`));
  }
  if (rows.length === 0) rows.push(element("div", "leverage-no-match", null, `No symbol matches “${ui.search}”.`));
  parts.list.replaceChildren(...rows);
  const active = rows[ui.active]?.id;
  if (active) parts.symbol.setAttribute("aria-activedescendant", active);
  else parts.symbol.removeAttribute("aria-activedescendant");
  rows[ui.active]?.scrollIntoView?.({ block: "nearest" });
}

function showPosition(parts, state) {
  const { table } = state;
  const rows = table.position.map(({ side, tone, fields }) => {
    const line = element("div", "leverage-side", null);
    element("b", `leverage-${tone}`, line, side);
    for (const [name, value, mood] of fields) {
      const field = element("span", "", line, `${name} `);
      field.title = TERMS[name] ?? "";
      element("b", `leverage-${mood}`, field, value);
    }
    return line;
  });
  if (rows.length === 0) rows.push(element("div", "leverage-side", null, "No position"));
  if (table.orders) element("span", "", rows[rows.length - 1], table.orders);
  parts.position.replaceChildren(...rows);
}

const OTHER_MARGIN_TYPE = { cross: "isolated", isolated: "cross" };

/** The fields of isolated margin: one row per isolated side of the position. What was typed stays while the sides do. */
function buildMargin(parts, sides) {
  parts.margin.replaceChildren(...sides.map(side => {
    const whose = side === "BOTH" ? "" : ` of the ${side.toLowerCase()}`;
    const row = element("div", "leverage-margin-row", null);
    row.dataset.side = side;
    const amount = element("input", "leverage-amount", row);
    Object.assign(amount, { type: "text", inputMode: "decimal", autocomplete: "off", placeholder: `isolated margin${whose}` });
    amount.setAttribute("aria-label", `amount of isolated margin${whose}`);
    amount.title = "An amount in the margin asset. Added margin moves the liquidation price away";
    amount.dataset.lmSuppressShortcuts = "true";
    for (const [direction, label] of [["add", "Add margin"], ["reduce", "Reduce margin"]]) {
      const button = element("button", `leverage-${direction}-margin`, row, label);
      button.type = "button";
      button.dataset.direction = direction;
      button.setAttribute("aria-label", `${label}${whose}`);
    }
    return row;
  }));
}

/** Whether margin type and isolated margin can be changed. */
function showMargin(parts, state) {
  const idle = !state.busy && !state.asks && state.phase !== "unknown";
  parts.marginType.disabled = !idle || !OTHER_MARGIN_TYPE[state.table.marginType];
  const sides = state.table.position.filter(({ isolated }) => isolated).map(({ positionSide }) => positionSide);
  if ([...parts.margin.children].map(row => row.dataset.side).join() !== sides.join()) buildMargin(parts, sides);
  parts.margin.hidden = sides.length === 0;
  for (const row of parts.margin.children) {
    const [amount, ...buttons] = row.children;
    amount.disabled = !idle;
    for (const button of buttons) button.disabled = !idle || amount.value.trim() === "";
  }
}

/** The vertical scale of the chart. */
function scale(state, tall) {
  const { table, newPosition, max } = state;
  // The notional of a size in percent differs from leverage to leverage: the scale has room for all of them.
  const drawn = [table.exposure, ...(newPosition?.notional ?? [])].filter(value => value > 0);
  const low = Math.min(table.rows[max - 1].cap, ...drawn) / 3.5;
  const high = Math.max(table.rows[0].cap, ...drawn) * 1.6;
  const bottom = PLOT.top + tall;
  const y = value => bottom - tall * Math.log(Math.max(value, low) / low) / Math.log(high / low);
  return { low, high, y, bottom };
}

/** @param {number} width @param {number} max */
function across(width, max) {
  const inner = width - PLOT.left - PLOT.right;
  return leverage => PLOT.left + inner * share(Math.min(Math.max(leverage, 1), max), max);
}

const SUFFIXES = ["", "k", "M", "B", "T"];

/** @param {number} value a power of ten */
function decade(value) {
  const place = Math.max(0, Math.min(SUFFIXES.length - 1, Math.floor(Math.log10(value) / 3 + 1e-9)));
  return `${Number((value / 1000 ** place).toPrecision(3))}${SUFFIXES[place]}`;
}

function showChart(parts, state, ui) {
  const { table, max } = state;
  const { width } = ui;
  if (width === 0) return;
  const x = across(width, max);
  const { low, high, y, bottom } = scale(state, ui.tall);
  const right = width - PLOT.right;
  const pattern = `${parts.list.id}-hatch`;
  const marks = [];
  for (let ten = 10 ** Math.ceil(Math.log10(low)); ten <= high; ten *= 10) {
    marks.push(svg("line", { class: "leverage-line", x1: PLOT.left, x2: right, y1: y(ten), y2: y(ten) }));
    marks.push(svg("text", { class: "leverage-tick", x: PLOT.left - 7, y: y(ten) + 4, "text-anchor": "end" }, decade(ten)));
  }
  const stairs = [`M${x(1)} ${y(table.rows[0].cap)}`];
  for (const edge of table.edges) {
    stairs.push(`L${x(edge)} ${y(table.rows[edge - 1].cap)}`);
    if (edge < max) stairs.push(`L${x(edge)} ${y(table.rows[edge].cap)}`);
  }
  const line = stairs.join("");
  marks.push(svg("path", { class: "leverage-area", d: `${line}L${x(max)} ${bottom}L${x(1)} ${bottom}Z` }));
  for (const { from, to, label } of table.regions) {
    const [start, end] = [from === 1 ? x(1) : x(from - 0.5), to === max ? right : x(to + 0.5)];
    marks.push(svg("rect", {
      class: "leverage-region", x: start, y: PLOT.top, width: Math.max(2, end - start), height: bottom - PLOT.top, fill: `url(#${pattern})`,
    }));
    const left = start + end < PLOT.left + right;
    const at = left ? { x: start + 5 } : { x: end - 5, "text-anchor": "end" };
    marks.push(svg("text", { class: "leverage-region-label", y: bottom - 6, ...at }, label));
  }
  if (table.exposure > 0) {
    marks.push(svg("line", { class: "leverage-exposure", x1: PLOT.left, x2: right, y1: y(table.exposure), y2: y(table.exposure) }));
    marks.push(svg("text", { class: "leverage-exposure-label", x: PLOT.left + 5, y: y(table.exposure) - 5 }, table.exposureText));
  }
  marks.push(svg("line", { class: "leverage-new-line", x1: PLOT.left, x2: right }));
  marks.push(svg("text", { class: "leverage-new-line-label", x: PLOT.left + 5 }));
  if (table.current > 0) {
    const at = x(table.current);
    marks.push(svg("line", { class: "leverage-now-line", x1: at, x2: at, y1: PLOT.top - 6, y2: bottom }));
    const anchor = at > width - 60 ? "end" : at < 80 ? "start" : "middle";
    marks.push(svg("text", { class: "leverage-tick", x: at, y: PLOT.top - 11, "text-anchor": anchor }, `now ${table.before}`));
  }
  marks.push(svg("path", { class: "leverage-stairs", d: line }));
  const kept = [];
  for (const edge of [...table.edges].reverse()) {
    const spot = [x(edge), y(table.rows[edge - 1].cap)];
    marks.push(svg("circle", { class: "leverage-edge", cx: spot[0], cy: spot[1], r: 2.5 }));
    const free = kept.every(([a, b]) => Math.abs(a - spot[0]) > 40 || Math.abs(b - spot[1]) > 13);
    if (!free) continue;
    kept.push(spot);
    const end = spot[0] > width - 50 ? { x: spot[0], "text-anchor": "end" } : { x: spot[0] + 4 };
    marks.push(svg("text", { class: "leverage-cap", y: spot[1] - 6, ...end }, table.rows[edge - 1].capText));
  }
  const track = bottom + PLOT.track;
  marks.push(svg("line", { class: "leverage-track", x1: PLOT.left, x2: right, y1: track, y2: track }));
  marks.push(svg("line", { class: "leverage-fill", y1: track, y2: track, x1: 0, x2: 0 }));
  let free = -Infinity;
  for (const edge of [...new Set([1, ...table.edges, max])].sort((a, b) => a - b)) {
    marks.push(svg("line", { class: "leverage-notch", x1: x(edge), x2: x(edge), y1: track - 4, y2: track + 4 }));
    if (x(edge) - free < 30 || (edge !== max && x(max) - x(edge) < 34)) continue;
    free = x(edge);
    marks.push(svg("text", { class: "leverage-tick", x: x(edge), y: track + 22, "text-anchor": "middle" }, `${edge}x`));
  }
  marks.push(svg("line", { class: "leverage-marker", y1: PLOT.top, y2: track }));
  marks.push(svg("circle", { class: "leverage-dot", r: 4.5 }));
  const height = bottom + PLOT.bottom;
  parts.chart.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"
    aria-label="${escape(table.symbol)}: max notional by leverage"><defs><pattern id="${pattern}" width="7" height="7"
    patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="leverage-hatch" x1="0" y1="0" x2="0" y2="7"
    /></pattern></defs>${marks.join("")}</svg>`;
  Object.assign(parts.slider.style, {
    left: `${PLOT.left - 11}px`, width: `${width - PLOT.left - PLOT.right + 22}px`, top: `${track - 11}px`,
  });
  parts.slider.setAttribute("aria-label", `leverage of ${table.symbol}, 1 to ${max}`);
  showMarker(parts, state, ui);
}

function showMarker(parts, state, ui) {
  const { table, row, leverage, max, newPosition } = state;
  const image = parts.chart.firstElementChild;
  parts.plot.classList.toggle("leverage-nothing-chosen", row === undefined);
  if (image === null || row === undefined) return;
  const x = across(ui.width, max);
  const at = x(leverage);
  const marker = image.querySelector(".leverage-marker");
  const dot = image.querySelector(".leverage-dot");
  const fill = image.querySelector(".leverage-fill");
  const { y } = scale(state, ui.tall);
  marker.setAttribute("x1", at);
  marker.setAttribute("x2", at);
  dot.setAttribute("cx", at);
  dot.setAttribute("cy", y(row.cap));
  fill.setAttribute("x1", table.current > 0 ? x(table.current) : at);
  fill.setAttribute("x2", at);
  const notional = newPosition?.notional[leverage - 1] ?? 0;
  const line = image.querySelector(".leverage-new-line");
  const label = image.querySelector(".leverage-new-line-label");
  line.style.display = label.style.display = notional > 0 ? "" : "none";
  if (notional > 0) {
    line.setAttribute("y1", y(notional));
    line.setAttribute("y2", y(notional));
    label.setAttribute("y", y(notional) - 5);
    write(label, `new ${newPosition.size}`);
  }
  parts.slider.value = String(share(leverage, max));
  parts.slider.setAttribute("aria-valuetext", `${leverage}x, ${row.title}`);
}

function showChoice(parts, state, ui) {
  const { table, row, wrong, leverage, max, busy } = state;
  if (ui.typed === null) parts.field.value = `${leverage}x`;
  parts.field.setAttribute("aria-invalid", String(wrong !== ""));
  parts.field.setAttribute("aria-label", `leverage of ${table.symbol}, 1 to ${max}`);
  parts.now.title = "Max notional: the largest position that the tiers allow at the chosen leverage";
  write(parts.now, `now ${table.before}${row ? ` · max notional ${row.capText}` : ""}`);
  parts.less.disabled = leverage <= 1;
  parts.more.disabled = leverage >= max;
  parts.root.dataset.leverage = row ? leverage : "";
  parts.verdict.dataset.verdict = wrong ? "wrong" : row?.verdict ?? "";
  write(parts.title, wrong || row?.title || "");
  write(parts.detail, wrong ? "Nothing is chosen." : row?.detail ?? "");
  const nearest = wrong ? max : row?.nearest ?? 0;
  parts.nearest.hidden = nearest === 0 || (wrong !== "" && !wrong.includes("maximum"));
  write(parts.nearest, `Use ${nearest}x${wrong ? "" : `, the ${nearest < leverage ? "highest" : "lowest"} that fits`}`);
  parts.nearest.disabled = busy;
}

function showFigures(parts, state) {
  const { table, row } = state;
  parts.figures.replaceChildren(element("div", "leverage-figures-head", null, `now → after, in ${table.asset || "the margin asset"}`));
  const line = ({ name, help }, dim) => {
    const node = element("div", `leverage-figure${dim ? " leverage-dim" : ""}`, parts.figures);
    element("span", "leverage-figure-name", node, name).title = help;
    return node;
  };
  for (const figure of table.figures) {
    const node = line(figure, false);
    const value = element("span", "leverage-figure-value", node);
    value.append(`${figure.now} → `, element("b", "", null));
    element("span", "leverage-figure-note", node);
  }
  for (const fixed of table.fixed) {
    const node = line(fixed, true);
    element("span", "leverage-figure-value", node, fixed.value);
    element("span", "leverage-figure-note", node, "unchanged");
  }
  showRow(parts, row);
}

function showRow(parts, row) {
  const lines = parts.figures.querySelectorAll(".leverage-figure:not(.leverage-dim)");
  lines.forEach((line, place) => {
    const [value, note, tone] = row?.figures[place] ?? ["–", "", ""];
    write(line.querySelector("b"), value);
    write(line.lastElementChild, note);
    line.lastElementChild.dataset.tone = tone;
  });
}

function showNewPosition(parts, state, ui) {
  const { table, newPosition, leverage, row } = state;
  if (ui.size === null) parts.size.value = newPosition?.text ?? "";
  if (ui.stop === null) parts.stop.value = state.stop;
  const unit = newPosition?.unit ?? "margin asset";
  const names = { asset: table.asset || "margin asset", base: table.base, percent: "%" };
  for (const button of parts.units) {
    write(button, names[button.dataset.name]);
    button.setAttribute("aria-pressed", String(button.dataset.unit === unit));
  }
  const at = row && newPosition ? newPosition.rows[leverage - 1] : undefined;
  const [margin, why, long, short] = at ?? ["", "", "", ""];
  parts.opened.dataset.tone = why ? "bad" : "";
  if (!newPosition) {
    write(parts.opened, "Enter the size of a new position to see its margin and liquidation.");
  } else if (at) {
    const prices = long || short ? `. Isolated, liquidation long ${long}, short ${short}` : "";
    write(parts.opened, `At ${leverage}x: margin ${margin}${why ? `, ${why}` : ""}${prices}.`);
  } else {
    write(parts.opened, "");
  }
  if (newPosition) element("div", "leverage-advice", parts.opened, newPosition.advice);
  parts.newPosition.classList.toggle("leverage-with-stop", Boolean(newPosition?.stop));
  const beyond = newPosition ? `; liquidation stays at least ${newPosition.buffer} beyond it` : "";
  parts.stop.title = `Below the mark price for a long, above it for a short${beyond}`;
  if (newPosition?.stop) {
    const advice = element("div", "leverage-advice", parts.opened, newPosition.stopAdvice);
    advice.dataset.tone = leverage > newPosition.highest ? "bad" : "";
  }
  for (const [button, to, why] of [
    [parts.lowest, newPosition?.lowest ?? 0, `the lowest that affords ${newPosition?.size}`],
    [parts.highest, newPosition?.highest ?? 0, "the highest that keeps liquidation beyond the stop"],
  ]) {
    button.hidden = to === 0 || to === leverage;
    button.disabled = state.busy;
    write(button, `Use ${to}x, ${why}`);
  }
}

function showDetails(parts, state) {
  const { table, newPosition } = state;
  write(parts.tiers.firstElementChild, `Tiers (${table.tiers.length})`);
  write(parts.liquidation.firstElementChild, "Liquidation by leverage");
  parts.liquidation.hidden = !newPosition;
  write(parts.terms.firstElementChild, "What the words mean");
  for (const [node, make] of [
    [parts.tiers, () => grid(TIER_TERMS, table.tiers)],
    [parts.liquidation, () => grid(
      LIQUIDATION_TERMS,
      [...new Set([1, ...table.edges, state.leverage])].sort((a, b) => a - b)
        .map(edge => [`${edge}x`, newPosition.rows[edge - 1][0], newPosition.rows[edge - 1][2] || "–", newPosition.rows[edge - 1][3] || "–"]),
    )],
    [parts.terms, () => definitions(meanings(state))],
  ]) {
    while (node.childElementCount > 1) node.lastElementChild.remove();
    if (node.open && !node.hidden) node.append(make());
  }
}

/** The explanations of the panel's tooltips, which a keyboard or a touch does not reach. */
function meanings(state) {
  const { table } = state;
  const [, live] = LIVE[state.live] ?? ["", ""];
  return {
    ...TERMS,
    ...Object.fromEntries([...table.figures, ...table.fixed].map(({ name, help }) => [name, help])),
    stop: "Below the mark price for a long, above it for a short",
    modes: "Modes of the account; they apply to all symbols, and are changed at Binance",
    guard: "Your own upper bound on leverage; nothing above it is sent",
    [`the panel is ${state.live}`]: live + state.liveReason,
  };
}

function showActions(parts, state, ui) {
  const { table, row, phase, busy, asks, changes, step, question } = state;
  const unknown = phase === "unknown";
  const verb = unknown ? "Check again" : asks ? `Confirm ${question.text}` : `Apply ${step}`.trim();
  write(parts.apply, verb);
  parts.apply.title = unknown ? "Verify the outcome of the change" : "";
  parts.apply.disabled = busy || !(unknown || changes || asks);
  parts.apply.classList.toggle("leverage-confirm", asks);
  parts.apply.setAttribute("aria-disabled", String(asks && !state.readable));
  // The second button is Undo, or Cancel while a question waits; its place stays when there is neither.
  const undo = unknown ? "" : state.undo;
  write(parts.second, asks ? "Cancel" : undo || "Undo");
  parts.second.classList.toggle("leverage-absent", !asks && undo === "");
  parts.second.disabled = busy || (!asks && undo === "");
  parts.second.title = asks ? "" : "Undo the last change";
  parts.reload.disabled = busy;
  parts.copy.disabled = row === undefined;
  write(parts.copy, ui.copied ? "Copied" : "Copy as code");
  parts.copy.title = row ? code(state) : "";
  showTimes(parts, table);
  // The kernel sends the state and the number of the click that it has handled one after the other.
  const waiting = state.pending && !["applying", "checking"].includes(phase);
  parts.root.dataset.state = ui.lost ? "lost" : waiting ? "waiting" : phase;
}

/** The line of code that makes the change on the screen. */
function code({ table, leverage, options }) {
  return `%leverage ${table.symbol} ${leverage}${options}`;
}

/** When the account was read, and when the leverage was changed if that was later. */
function showTimes(parts, table) {
  const later = table.leverageAsOf ? `, leverage ${timeText(table.leverageAsOf)}` : "";
  write(parts.asOf, table.asOf ? `as of ${timeText(table.asOf)}${later}` : "");
  parts.asOf.title = [
    table.asOf && `Positions, orders, margin and prices were read at ${table.asOf.moment}`,
    table.leverageAsOf && `The leverage was changed or read at ${table.leverageAsOf.moment}`,
  ].filter(Boolean).join(". ");
}

function showMessage(parts, state, ui) {
  const note = ui.lost
    ? `${ui.lost} ${ui.gone ? "Run the cell again to use the panel." : "The panel works again when it is back."}`
    : ui.noAnswer || (state.phase === "applying" ? "Sending…"
    // The report of a change comes before the read that follows it.
    : state.pending && state.phase !== "checking" && state.message === ui.messageBefore
      ? `Waiting for the kernel: ${ui.asked}.` : "");
  const showing = note || state.message;
  if (parts.message.dataset.showing !== showing) {
    if (note) write(parts.message, note);
    else parts.message.innerHTML = state.message;
    parts.message.dataset.showing = showing;
  }
  parts.message.classList.toggle("leverage-earlier", note === "" && state.leverage !== ui.saidAt);
}

// -- the kernel ---------------------------------------------------------------------------------------------------

/**
 * Call `report(why, gone)` when the kernel cannot be reached, and `report("", false)` when it can again.
 * JupyterLab's widget manager knows its kernel; other front ends report a closed comm, or a failing send.
 */
function watchKernel(model, report) {
  const context = model.widget_manager?.context?.sessionContext;
  const kernel = model.widget_manager?.kernel;
  const ended = { restarting: "The kernel was restarted.", autorestarting: "The kernel has died.", dead: "The kernel has died.", terminating: "The kernel was shut down." };
  const onStatus = (_, status) => { if (ended[status]) report(ended[status], true); };
  const onConnection = (_, status) => {
    if (status === "connected") report("", false);
    else report("The connection to the kernel is lost.", false);
  };
  const onKernel = () => report("The kernel was shut down.", true);
  const onComm = () => report("The panel has lost its kernel.", true);
  const source = context ?? kernel;
  const pairs = [
    [source?.statusChanged, onStatus], [source?.connectionStatusChanged, onConnection], [context?.kernelChanged, onKernel],
  ].filter(([signal]) => signal !== undefined);
  for (const [signal, slot] of pairs) signal.connect(slot);
  model.on("comm_live_update", onComm);
  return () => {
    for (const [signal, slot] of pairs) signal.disconnect(slot);
    model.off("comm_live_update", onComm);
  };
}

/** Wait for the kernel's first answer, and call `report` with what to say while there is none, and with "" once there is one. */
function waitForKernel(model, report) {
  const timer = setTimeout(() => report(NO_ANSWER), NO_ANSWER_MS);
  const onMessage = content => {
    if (content?.kind !== "hello") return;
    clearTimeout(timer);
    report("");
  };
  model.on("msg:custom", onMessage);
  try {
    model.send({ kind: "hello" });
  } catch {
    report(NO_ANSWER);
  }
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", onMessage);
  };
}

/**
 * Hide the static twins of this panel while this view is shown. They stay in the saved notebook.
 * @param {string} name The twins' class. @param {Document} page
 */
function hideTwins(name, page) {
  const style = page.createElement("style");
  // The output around the twin has a prompt and a margin of its own: in JupyterLab, and in the classic notebook.
  const places = [".jp-OutputArea-child", ".output_area"].map(output => `${output}:has(.${name})`);
  style.textContent = `${[`.${name}`, ...places].join(", ")} { display: none; }`;
  page.head.append(style);
  return () => style.remove();
}

// -- the view -----------------------------------------------------------------------------------------------------

function render({ model, el }) {
  const parts = build(el);
  /** @type {Ui} */
  const ui = {
    typed: null, search: null, active: 0, searchError: "", lost: "", gone: false, answered: false, noAnswer: "",
    clicks: model.get("answered"), asked: "", blocks: false, messageBefore: "",
    since: performance.now(), copied: false, size: null, stop: null, width: 0, tall: 0, saidAt: model.get("leverage"),
  };
  const state = () => deriveState(model, ui);

  function follow() {
    const now = state();
    showMarker(parts, now, ui);
    showChoice(parts, now, ui);
    showRow(parts, now.row);
    showNewPosition(parts, now, ui);
    showMargin(parts, now);
    showActions(parts, now, ui);
    showMessage(parts, now, ui);
    if (parts.liquidation.open) showDetails(parts, now);
  }

  function showAll() {
    const now = state();
    showHead(parts, now, ui);
    showPosition(parts, now);
    showChart(parts, now, ui);
    showFigures(parts, now);
    showDetails(parts, now);
    follow();
  }

  function update(changes, show = follow) {
    Object.assign(ui, changes);
    show();
  }

  function choose(leverage) {
    const chosen = Math.min(Math.max(leverage, 1), state().max);
    ui.typed = null;
    if (chosen === model.get("leverage")) {
      follow();
    } else {
      model.set("leverage", chosen);
      model.save_changes();
    }
  }

  function click(kind, asked, more = {}) {
    const { table, leverage } = state();
    // Another view of the panel may have made more clicks than this one.
    const clicks = Math.max(ui.clicks, model.get("answered")) + 1;
    update({ clicks, asked, blocks: kind !== "new position", messageBefore: model.get("message") });
    try {
      model.send({ kind, click: ui.clicks, symbol: table.symbol, leverage, version: table.version, ...more });
    } catch {
      update({ lost: "The panel has lost its kernel.", gone: true }, showAll);
    }
  }

  // -- the leverage

  function move(event) {
    const { table, leverage, max } = state();
    const higher = table.edges.find(edge => edge > leverage) ?? max;
    const lower = table.edges.findLast(edge => edge < leverage) ?? 1;
    const to = {
      ArrowUp: leverage + 1, ArrowRight: leverage + 1, ArrowDown: leverage - 1, ArrowLeft: leverage - 1,
      PageUp: higher, PageDown: lower, Home: 1, End: max, Escape: table.start,
    }[event.key];
    const inField = event.currentTarget === parts.field;
    if (event.key === "Enter") {
      event.preventDefault();
      // A question is answered with its own button only.
      const { asks, phase } = state();
      if (!parts.apply.disabled && !asks && phase !== "unknown") parts.apply.click();
    } else if (to !== undefined && !(inField && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key))) {
      event.preventDefault();
      choose(to);
      if (inField) parts.field.select();
    }
  }

  const pointed = event => {
    const box = parts.chart.getBoundingClientRect();
    const inner = ui.width - PLOT.left - PLOT.right;
    return leverageAt(Math.min(1, Math.max(0, (event.clientX - box.left - PLOT.left) / inner)), state().max);
  };

  parts.slider.addEventListener("input", () => choose(leverageAt(Number(parts.slider.value), state().max)));
  parts.slider.addEventListener("keydown", move);
  parts.field.addEventListener("keydown", move);
  parts.field.addEventListener("focus", () => parts.field.select());
  parts.field.addEventListener("input", () => {
    ui.typed = parts.field.value;
    const { wrong } = state();
    if (wrong) {
      follow();
    } else {
      const leverage = Number.parseInt(parts.field.value, 10);
      if (leverage === model.get("leverage")) follow();
      model.set("leverage", leverage);
      model.save_changes();
    }
  });
  parts.field.addEventListener("blur", () => { if (state().wrong === "") update({ typed: null }); });
  parts.less.addEventListener("click", () => choose(state().leverage - 1));
  parts.more.addEventListener("click", () => choose(state().leverage + 1));
  parts.nearest.addEventListener("click", () => {
    const { row, max } = state();
    choose(row?.nearest || max);
  });
  // A touch may be the begin of a scroll: it counts once it has moved along the axis, or ends as a tap.
  const drag = { from: 0, counts: false };
  const holds = event => parts.chart.hasPointerCapture(event.pointerId);
  parts.chart.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    event.preventDefault();
    parts.chart.setPointerCapture(event.pointerId);
    parts.slider.focus({ preventScroll: true });
    Object.assign(drag, { from: event.clientX, counts: event.pointerType !== "touch" });
    if (drag.counts) choose(pointed(event));
  });
  parts.chart.addEventListener("pointerup", event => {
    if (event.button === 0 && holds(event)) choose(pointed(event));
  });
  parts.chart.addEventListener("pointermove", event => {
    drag.counts ||= Math.abs(event.clientX - drag.from) > TOUCH_SLOP;
    if (holds(event) && drag.counts) choose(pointed(event));
    const { table } = state();
    const leverage = pointed(event);
    const row = table.rows[leverage - 1];
    write(parts.tip, `${leverage}x: max notional ${row.capText}. ${row.title}`);
    const at = across(ui.width, table.rows.length)(leverage);
    parts.tip.hidden = false;
    parts.tip.style.left = `${Math.min(at + 12, ui.width - 180)}px`;
  });
  parts.chart.addEventListener("pointerleave", () => { parts.tip.hidden = true; });
  parts.tip.hidden = true;

  // -- the symbol

  const showFound = () => showSearch(parts, state(), ui);
  // Nothing is active before something is typed: Enter would show the first symbol of the list.
  const find = text => update({ search: text, active: text.trim() === "" ? -1 : 0, searchError: "" }, showFound);
  const endSearch = () => {
    update({ search: null, searchError: "" }, showFound);
    parts.symbol.blur();
  };
  function pick(symbol) {
    const { table } = state();
    endSearch();
    if (symbol !== table.symbol) click("select", `show ${symbol}`, { to: symbol });
  }
  parts.symbol.addEventListener("focus", () => {
    parts.symbol.select();
    find("");
  });
  parts.symbol.addEventListener("input", () => find(parts.symbol.value));
  parts.symbol.addEventListener("blur", () => update({ search: null }, showFound));
  parts.symbol.addEventListener("keydown", event => {
    const matches = state().matches ?? [];
    const direction = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (direction !== undefined) {
      event.preventDefault();
      const last = Math.min(matches.length, MOST_MATCHES) - 1;
      update({ active: Math.max(0, Math.min(last, ui.active + direction)) }, showFound);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (matches[ui.active]) pick(matches[ui.active][0]);
      else if (matches.length > 0) endSearch();
      else update({ searchError: `No symbol matches “${ui.search}”.` }, showFound);
    } else if (event.key === "Escape") {
      endSearch();
    }
  });
  // Before the field loses its focus, which closes the list.
  parts.list.addEventListener("pointerdown", event => {
    event.preventDefault();
    const symbol = event.target.closest("[data-symbol]")?.dataset.symbol;
    if (symbol) pick(symbol);
  });

  // -- the new position

  function resize(unit) {
    const [text, stop] = [parts.size.value.trim(), parts.stop.value.trim()];
    const { newPosition, stop: before } = state();
    const known = newPosition?.unit ?? "margin asset";
    const chosen = unit ?? known;
    if (text === (newPosition?.text ?? "") && chosen === known && stop === before) return;
    click("new position", "the new position", { text, unit: chosen, stop });
  }
  // What was typed stays until the kernel has answered: the other field is sent with it.
  function forgetTyped() {
    for (const name of ["size", "stop"]) {
      if (document.activeElement !== parts[name] && !state().pending) ui[name] = null;
    }
  }
  const resizeSoon = { timer: 0 };
  for (const name of ["size", "stop"]) {
    parts[name].addEventListener("input", () => {
      ui[name] = parts[name].value;
      clearTimeout(resizeSoon.timer);
      // Shortly after the last key, because a notebook handles Enter itself.
      resizeSoon.timer = setTimeout(() => resize(), 400);
    });
    parts[name].addEventListener("change", () => {
      clearTimeout(resizeSoon.timer);
      resize();
    });
    parts[name].addEventListener("blur", forgetTyped);
  }
  for (const button of parts.units) button.addEventListener("click", () => resize(button.dataset.unit));
  parts.lowest.addEventListener("click", () => choose(state().newPosition.lowest));
  parts.highest.addEventListener("click", () => choose(state().newPosition.highest));

  // -- the actions

  function beginReading() {
    update({ since: performance.now() });
    setTimeout(follow, readingTime(state().question) + 20);
  }
  parts.apply.addEventListener("click", () => {
    const { table, leverage, asks, readable, phase, question } = state();
    if (asks && !readable) beginReading();  // repeated clicks restart the time
    else if (phase === "unknown") click("check", "check the outcome");
    else if (asks) click("confirm", `${table.symbol} ${question.text}`, { question: question.number });
    else click("apply", `${table.symbol} ${leverage}x`);
  });
  parts.second.addEventListener("click", () => {
    const { asks, undo } = state();
    if (asks) click("cancel", "cancel");
    else click("undo", undo, { label: undo });
  });
  parts.reload.addEventListener("click", () => click("reload", "reload"));
  parts.margin.addEventListener("input", follow);
  parts.margin.addEventListener("click", event => {
    const button = event.target.closest("[data-direction]");
    if (!button || button.disabled) return;
    const row = button.closest("[data-side]");
    const asked = button.textContent.toLowerCase();
    const { side } = row.dataset;
    click("isolated margin", asked, { amount: row.firstElementChild.value, direction: button.dataset.direction, side });
  });
  parts.marginType.addEventListener("click", () => {
    const to = OTHER_MARGIN_TYPE[state().table.marginType];
    click("margin type", `margin type ${to}`, { to });
  });
  parts.copy.addEventListener("click", async () => {
    const line = code(state());
    try {
      await navigator.clipboard.writeText(line);
      update({ copied: true });
      setTimeout(() => update({ copied: false }), 1500);
    } catch {
      parts.copy.textContent = line;  // no access to the clipboard: to be copied by hand
    }
  });
  for (const details of [parts.tiers, parts.liquidation, parts.terms]) {
    details.addEventListener("toggle", () => showDetails(parts, state()));
  }

  const listeners = {
    "change:table": () => {
      ui.typed = null;
      showAll();
    },
    "change:leverage": () => {
      // The kernel may have set another leverage than the one in the field.
      if (ui.typed !== null && Number.parseInt(ui.typed, 10) !== model.get("leverage")) ui.typed = null;
      follow();
    },
    "change:new_position": showAll,
    "change:symbols": showFound,
    "change:state change:question": beginReading,
    "change:answered": () => {
      forgetTyped();
      follow();
    },
    "change:undo change:options": follow,
    "change:message": () => update({ saidAt: model.get("leverage") }),
    "change:live change:live_reason": () => showLive(parts, state()),
  };
  for (const [events, listener] of Object.entries(listeners)) model.on(events, listener);
  const unwatch = watchKernel(model, (lost, gone) => {
    if (!ui.gone) update({ lost, gone }, showAll);
  });
  const unask = waitForKernel(model, noAnswer => update({ noAnswer, answered: noAnswer === "" }, showAll));
  const unhide = hideTwins(model.get("twin"), el.ownerDocument);
  const observer = new ResizeObserver(() => {
    const width = Math.floor(parts.plot.clientWidth);
    const tall = parts.root.clientWidth >= TWO_COLUMNS ? 300 : 200;
    if (width !== ui.width && width > 0) update({ width, tall }, () => showChart(parts, state(), ui));
  });
  observer.observe(parts.plot);
  const clock = setInterval(() => showTimes(parts, state().table), 60_000);  // the date may have changed
  showAll();
  return () => {
    observer.disconnect();
    clearTimeout(resizeSoon.timer);
    clearInterval(clock);
    unwatch();
    unask();
    unhide();
    for (const [events, listener] of Object.entries(listeners)) model.off(events, listener);
  };
}

export default { render };
