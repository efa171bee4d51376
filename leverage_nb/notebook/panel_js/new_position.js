// A new position of a size that is typed.

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

/** Send the size and the stop that are typed. Returns how to forget them, and how to end. @param {View} view */
function listenToNewPosition(view) {
  const { parts, ui, state, choose, click } = view;
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
  return { forgetTyped, end: () => clearTimeout(resizeSoon.timer) };
}
