// Chart, figures and buttons of the leverage panel. All texts come from the table that the kernel sent, so the view
// follows the slider while the kernel is busy.

const SVG = "http://www.w3.org/2000/svg";
// How long a question must be on the screen before an answer counts.
const READING_MS = 800;

function element(tag, className, parent, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
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
  const root = element("div", "leverage-panel mathjax_ignore tex2jax_ignore", el);
  const heading = element("div", "leverage-heading", root);
  const chart = element("div", "leverage-chart", root);
  const choice = element("div", "leverage-choice", root, "leverage ");
  const field = element("input", "leverage-field", choice);
  Object.assign(field, { type: "number", min: 1, step: 1, inputMode: "numeric" });
  element("span", "leverage-unit", choice, "x");
  const lower = element("button", "leverage-edge", choice, "◂ tier");
  const higher = element("button", "leverage-edge", choice, "tier ▸");
  lower.title = "Next lower tier (PageDown)";
  higher.title = "Next higher tier (PageUp)";
  const complaint = element("span", "leverage-complaint", choice);
  const verdict = element("div", "leverage-verdict", root);
  const held = element("div", "leverage-held", root);
  const heldFigures = element("div", "leverage-figures", root);
  const sizing = element("label", "leverage-sizing", root, "a new isolated position of ");
  const size = element("input", "leverage-size", sizing);
  size.setAttribute("aria-label", "planned size");
  const sizeAsset = element("span", "leverage-unit", sizing);
  const ladderFigures = element("div", "leverage-figures", root);
  const actions = element("div", "leverage-actions", root);
  const apply = element("button", "leverage-apply", actions);
  const cancel = element("button", "leverage-cancel", actions, "Cancel");
  const check = element("button", "leverage-check", actions, "Check again");
  check.title = "Verify the outcome of the change";
  const undo = element("button", "leverage-undo", actions);
  undo.title = "Undo the change";
  const reload = element("button", "leverage-reload", actions, "Reload");
  reload.title = "Read tiers and setting again";
  const waiting = element("span", "leverage-waiting", actions);
  const message = element("div", "leverage-messages", root);
  message.setAttribute("role", "status");
  message.setAttribute("aria-live", "polite");
  verdict.id = `leverage-verdict-${crypto.randomUUID()}`;
  complaint.setAttribute("role", "alert");
  root.setAttribute("role", "group");
  field.setAttribute("aria-describedby", verdict.id);

  let marker = null;
  let values = [];
  let clicks = model.get("answered");
  let asked = "";
  let lost = false;
  let resizing = 0;
  let sized = "";
  let saidAt = model.get("leverage");
  let reviewingSince = performance.now();
  // Neither this element nor the slider may be part of the page yet.
  const naming = setInterval(nameSlider, 100);

  function shown() {
    const table = model.get("table");
    const leverage = model.get("leverage");
    const row = leverage - 1;
    const known = table.pixels !== undefined && row >= 0 && row < table.most;
    return { table, leverage, row, known };
  }

  function choose(leverage) {
    if (leverage === model.get("leverage")) follow();
    model.set("leverage", leverage);
    model.save_changes();
  }

  function drawTable() {
    const { table } = shown();
    if (table.svg === undefined) return;
    heading.innerHTML = table.badge;
    element("b", "leverage-symbol", heading, table.symbol);
    element("span", "leverage-current", heading, table.now);
    element("span", "leverage-live", heading);
    element("span", "leverage-account", heading, table.account);
    showLive();
    chart.innerHTML = table.svg;
    const svg = chart.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${table.symbol}: max notional by leverage`);
    marker = makeMarker(svg);
    svg.addEventListener("pointerdown", drag);
    held.textContent = table.held;
    if (document.activeElement !== size) size.value = sized = table.what_if;
    sizeAsset.textContent = table.asset;
    values = [heldFigures, ladderFigures].flatMap((box, place) => {
      box.replaceChildren();
      return table.groups[place].figures.map(({ name, values: texts }) => {
        const cell = element("div", "leverage-figure", box);
        element("span", "leverage-figure-name", cell, name);
        return { node: element("span", "leverage-figure-value", cell), texts };
      });
    });
    field.max = table.most;
    root.setAttribute("aria-label", `${table.venue} ${table.symbol}`);
    root.classList.toggle("leverage-real-money", table.real_money);
    field.setAttribute("aria-label", `leverage of ${table.symbol}, 1 to ${table.most}`);
    nameSlider();
    field.value = "";
    follow();
  }

  // ipywidgets gives the slider's handle no name for screen readers.
  function nameSlider() {
    const handle = el.closest(".widget-vbox")?.querySelector(".leverage-slider .noUi-handle");
    handle?.setAttribute("aria-label", field.getAttribute("aria-label") ?? "");
    handle?.setAttribute("aria-describedby", verdict.id);
    if (handle) clearInterval(naming);
  }

  // The chart is logarithmic, the slider is linear: low leverages are easier to select in the chart.
  function drag(down) {
    const svg = down.currentTarget;
    const toNearest = event => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const { table } = shown();
      let nearest = 0;
      table.pixels.forEach(([at], place) => {
        if (Math.abs(at - x) < Math.abs(table.pixels[nearest][0] - x)) nearest = place;
      });
      choose(Math.min(nearest + 1, table.most));
    };
    down.preventDefault();
    svg.setPointerCapture(down.pointerId);
    svg.onpointermove = toNearest;
    svg.onpointerup = svg.onpointercancel = () => { svg.onpointermove = null; };
    toNearest(down);
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
    for (const { node, texts } of values) node.textContent = known ? texts[row] : "–";
    verdict.textContent = known ? table.words[row] : "";
    verdict.dataset.verdict = known ? table.verdict[row] : "";
    if (field.value !== String(leverage)) field.value = leverage;
    complain(known || table.range === undefined ? "" : table.range);
    message.classList.toggle("leverage-earlier", leverage !== saidAt);
    root.dataset.leverage = known ? leverage : "";
    buttons();
  }

  function complain(text) {
    complaint.textContent = text;
    field.setAttribute("aria-invalid", text !== "");
  }

  function typed() {
    const { table } = shown();
    const leverage = Number(field.value);
    if (/^[0-9]+$/.test(field.value) && leverage >= 1 && leverage <= table.most) {
      choose(leverage);
    } else {
      complain(Number(field.value) > table.most ? `${field.value}x is above ${table.upper}` : `Enter ${table.range}`);
      // The figures belong to another leverage than the one in the field.
      for (const { node } of values) node.textContent = "–";
      verdict.textContent = "";
      buttons();
    }
  }

  function step(direction) {
    const { table, leverage } = shown();
    const within = table.edges.filter(edge => edge <= table.most);
    const beyond = within.filter(edge => (direction > 0 ? edge > leverage : edge < leverage));
    if (beyond.length > 0) choose(direction > 0 ? beyond[0] : beyond[beyond.length - 1]);
  }

  function buttons() {
    const { table, leverage, known } = shown();
    const state = model.get("state");
    const reviewing = state === "reviewing" && model.get("reviewed") === leverage;
    const pending = clicks > model.get("answered");
    const busy = lost || pending || state === "applying" || state === "checking";
    // Apply sends the number in the field, or nothing.
    const agreed = known && field.value === String(leverage) && complaint.textContent === ""
      && table.verdict[leverage - 1] !== "refused";
    apply.disabled = busy || state === "unknown" || !agreed || (leverage === table.current && !reviewing);
    apply.textContent = !agreed || leverage === table.current
      ? "Apply"
      : `${reviewing ? "Confirm" : "Apply"}: ${table.symbol} ${table.before} → ${leverage}x`;
    apply.classList.toggle("leverage-confirm", reviewing);
    apply.setAttribute("aria-disabled", reviewing && !readable());
    cancel.hidden = !reviewing;
    cancel.disabled = busy;
    check.hidden = state !== "unknown";
    check.disabled = busy;
    undo.hidden = model.get("undo") === "" || reviewing;
    undo.textContent = model.get("undo");
    undo.disabled = busy;
    reload.disabled = busy;
    waiting.textContent = lost
      ? "This panel has lost its kernel. Run the cell again."
      : pending ? `waiting for the kernel: ${asked}` : state === "applying" ? "sending…" : "";
    root.dataset.state = lost ? "lost" : state;
  }

  // A second click at the place of Apply or Undo is not an answer to a question that was not read yet.
  function readable() {
    return performance.now() - reviewingSince > READING_MS;
  }

  function beginReading() {
    reviewingSince = performance.now();
    setTimeout(buttons, READING_MS + 20);
    buttons();
  }

  function click(kind, words, more = {}) {
    const { table, leverage } = shown();
    clicks += 1;
    asked = words;
    try {
      model.send({ kind, click: clicks, symbol: table.symbol, leverage, version: table.version, ...more });
    } catch {
      lost = true;
    }
    buttons();
  }

  function resize() {
    clearTimeout(resizing);
    if (size.value !== sized) click("notional", "what-if size", { text: size.value });
    sized = size.value;
  }

  function say() {
    message.innerHTML = model.get("message");
    saidAt = model.get("leverage");
    message.classList.remove("leverage-earlier");
  }

  function showLive() {
    const mark = heading.querySelector(".leverage-live");
    if (mark === null) return;
    const live = model.get("live");
    mark.dataset.live = live;
    const about = {
      connecting: ["○ connecting", "The exchange's events are not connected yet"],
      connected: ["○ connected, no event yet", "Changes made elsewhere are shown within about a minute"],
      live: ["● live", "Changes made elsewhere are shown immediately"],
      stale: ["○ stale", `Reload shows changes made elsewhere: ${model.get("live_reason")}`],
    };
    [mark.textContent, mark.title] = about[live] ?? ["", ""];
  }

  function checkKernel() {
    lost = model.comm_live === false;
    buttons();
  }

  field.addEventListener("input", typed);
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", event => {
    const direction = { PageUp: 1, PageDown: -1 }[event.key];
    if (direction !== undefined) {
      event.preventDefault();
      step(direction);
    }
  });
  lower.addEventListener("click", () => step(-1));
  higher.addEventListener("click", () => step(1));
  // Shortly after the last key, because a notebook handles Enter itself.
  size.addEventListener("input", () => {
    clearTimeout(resizing);
    resizing = setTimeout(resize, 400);
  });
  size.addEventListener("change", resize);
  apply.addEventListener("click", () => {
    const { table, leverage } = shown();
    const reviewing = model.get("state") === "reviewing" && model.get("reviewed") === leverage;
    if (reviewing && !readable()) {
      beginReading();  // repeated clicks restart the time
      return;
    }
    click(reviewing ? "confirm" : "apply", `${table.symbol} ${leverage}x`);
  });
  cancel.addEventListener("click", () => click("cancel", "cancel"));
  check.addEventListener("click", () => click("check", "check again"));
  undo.addEventListener("click", () => click("undo", undo.textContent, { label: undo.textContent }));
  reload.addEventListener("click", () => click("reload", "reload"));

  const listeners = {
    "change:table": drawTable,
    "change:leverage": follow,
    "change:state change:reviewed": beginReading,
    "change:answered change:undo": buttons,
    "change:message": say,
    "change:live change:live_reason": showLive,
    "comm_live_update": checkKernel,
  };
  for (const [events, listener] of Object.entries(listeners)) model.on(events, listener);
  drawTable();
  follow();
  say();
  return () => {
    clearInterval(naming);
    for (const [events, listener] of Object.entries(listeners)) model.off(events, listener);
  };
}

export default { render };
