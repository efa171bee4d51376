// Apply, confirm, undo and the message.

/** @param {Time | null} at @returns {string} its time of day, with the date if that is not today's */
export function timeText(at) {
  if (at === null) return "";
  return new Date(at.epoch * 1000).toDateString() === new Date().toDateString() ? at.time : at.moment;
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

/** Apply, confirm, cancel, undo, reload and copy. Returns how to begin the time to read a question. @param {View} view */
function listenToActions(view) {
  const { parts, state, update, follow, click } = view;
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
  return beginReading;
}
