// The leverage that is chosen, its verdict and its figures.

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

/** Move the leverage by a key, in the slider and in the field. @param {View} view @param {KeyboardEvent} event */
function moveByKey(view, event) {
  const { parts, state, choose } = view;
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

/** Choose a leverage with the field and the buttons. @param {View} view */
function listenToChoice(view) {
  const { model, parts, ui, state, update, follow, choose } = view;
  parts.field.addEventListener("keydown", event => moveByKey(view, event));
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
}
