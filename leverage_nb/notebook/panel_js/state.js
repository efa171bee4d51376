// What is shown, from the model and the view: functions without effects.

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
