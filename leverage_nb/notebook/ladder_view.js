// Chart, figures and Apply of the leverage panel. No arithmetic here: every figure is looked up in the table
// that the kernel sent, so the view follows the slider while the kernel is busy, and shows nothing it was not told.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, className, parent) {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
}

function figure(parent, name) {
  const box = element("div", "leverage-figure", parent);
  element("span", "leverage-figure-name", box).textContent = name;
  return element("span", "leverage-figure-value", box);
}

function makeMarker(svg) {
  const marker = document.createElementNS(SVG, "g");
  marker.classList.add("leverage-marker");
  const line = document.createElementNS(SVG, "line");
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("r", "5");
  marker.append(line, dot);
  svg.append(marker);
  return { line, dot };
}

function render({ model, el }) {
  const root = element("div", "leverage-panel", el);
  const heading = element("div", "leverage-heading", root);
  const chart = element("div", "leverage-chart", root);
  const figures = element("div", "leverage-figures", root);
  const chosen = figure(figures, "leverage");
  const notional = figure(figures, "max notional");
  const tier = figure(figures, "tier");
  const actions = element("div", "leverage-actions", root);
  const apply = element("button", "leverage-apply", actions);
  const cancel = element("button", "leverage-cancel", actions);
  const reload = element("button", "leverage-reload", actions);
  cancel.textContent = "Cancel";
  reload.textContent = "Reload";
  reload.title = "Read tiers and setting again";
  const waiting = element("span", "leverage-waiting", actions);
  const message = element("div", "leverage-messages", root);
  message.setAttribute("role", "status");
  message.setAttribute("aria-live", "polite");

  let marker = null;
  let clicks = model.get("answered");
  let asked = "";

  function shown() {
    const table = model.get("table");
    const leverage = model.get("leverage");
    const row = leverage - 1;
    const known = table.pixels !== undefined && row >= 0 && row < table.pixels.length;
    return { table, leverage, row, known };
  }

  function drawTable() {
    const { table } = shown();
    if (table.svg === undefined) return;
    heading.innerHTML = table.badge;
    element("b", "leverage-symbol", heading).textContent = table.symbol;
    element("span", "leverage-current", heading).textContent = `now ${table.current}x, ${table.margin_type}`;
    element("span", "leverage-account", heading).textContent = table.account;
    chart.innerHTML = table.svg;
    const svg = chart.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${table.symbol}: max notional by leverage`);
    marker = makeMarker(svg);
    follow();
  }

  function follow() {
    const { table, leverage, row, known } = shown();
    if (marker !== null) {
      for (const node of [marker.line, marker.dot]) node.style.display = known ? "" : "none";
      if (known) {
        const [x, y] = table.pixels[row];
        marker.line.setAttribute("x1", x);
        marker.line.setAttribute("x2", x);
        marker.line.setAttribute("y1", y);
        marker.line.setAttribute("y2", table.ground);
        marker.dot.setAttribute("cx", x);
        marker.dot.setAttribute("cy", y);
      }
    }
    chosen.textContent = known ? `${leverage}x` : "–";
    notional.textContent = known ? table.max_notional[row] : "–";
    tier.textContent = known ? table.tier[row] : "–";
    root.dataset.leverage = known ? leverage : "";
    buttons();
  }

  function buttons() {
    const { table, leverage, known } = shown();
    const state = model.get("state");
    const reviewing = state === "reviewing" && model.get("reviewed") === leverage;
    const pending = clicks > model.get("answered");
    const busy = pending || state === "applying";
    apply.disabled = busy || !known || (leverage === table.current && !reviewing);
    apply.textContent = !known || leverage === table.current
      ? "Apply"
      : `${reviewing ? "Confirm" : "Apply"}: ${table.symbol} ${table.current}x → ${leverage}x`;
    apply.classList.toggle("leverage-confirm", reviewing);
    cancel.hidden = !reviewing;
    cancel.disabled = busy;
    reload.disabled = busy;
    waiting.textContent = pending ? `waiting for the kernel: ${asked}` : state === "applying" ? "asking the exchange…" : "";
    root.dataset.state = state;
  }

  function click(kind, words) {
    const { table, leverage } = shown();
    clicks += 1;
    asked = words;
    model.send({ kind, click: clicks, symbol: table.symbol, leverage, version: table.version });
    buttons();
  }

  apply.addEventListener("click", () => {
    const { table, leverage } = shown();
    const reviewing = model.get("state") === "reviewing" && model.get("reviewed") === leverage;
    click(reviewing ? "confirm" : "apply", `${table.symbol} ${leverage}x`);
  });
  cancel.addEventListener("click", () => click("cancel", "cancel"));
  reload.addEventListener("click", () => click("reload", "reload"));

  const say = () => { message.innerHTML = model.get("message"); };
  const listeners = {
    "change:table": drawTable,
    "change:leverage": follow,
    "change:state change:reviewed change:answered": buttons,
    "change:message": say,
  };
  for (const [events, listener] of Object.entries(listeners)) model.on(events, listener);
  drawTable();
  follow();
  say();
  return () => {
    for (const [events, listener] of Object.entries(listeners)) model.off(events, listener);
  };
}

export default { render };
