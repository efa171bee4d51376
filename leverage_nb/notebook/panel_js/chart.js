// The chart, whose x-axis is the track of the slider.

const PLOT = { left: 46, right: 16, top: 26, track: 22, bottom: 54 };
const TOUCH_SLOP = 10;  // px
const SUFFIXES = ["", "k", "M", "B", "T"];

/** @param {number} leverage @param {number} max @returns {number} its place on the axis, from 0 to 1 */
export function share(leverage, max) {
  return max > 1 ? Math.log(leverage) / Math.log(max) : 0;
}

/** @param {number} place @param {number} max @returns {number} the leverage at a place on the axis */
export function leverageAt(place, max) {
  return Math.min(max, Math.max(1, Math.round(max ** place)));
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

/** Choose a leverage with the slider, and with the pointer in the chart. @param {View} view */
function listenToChart(view) {
  const { parts, ui, state, choose } = view;
  const pointed = event => {
    const box = parts.chart.getBoundingClientRect();
    const inner = ui.width - PLOT.left - PLOT.right;
    return leverageAt(Math.min(1, Math.max(0, (event.clientX - box.left - PLOT.left) / inner)), state().max);
  };

  parts.slider.addEventListener("input", () => choose(leverageAt(Number(parts.slider.value), state().max)));
  parts.slider.addEventListener("keydown", event => moveByKey(view, event));
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
}
