// One view of the panel.

const TWO_COLUMNS = 880;  // px, as in panel.css

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
    const blocks = kind !== "new position" || (ui.blocks && ui.clicks > model.get("answered"));
    update({ clicks, asked, blocks, messageBefore: model.get("message") });
    try {
      model.send({ kind, click: ui.clicks, symbol: table.symbol, leverage, version: table.version, ...more });
    } catch {
      update({ lost: "The panel has lost its kernel.", gone: true }, showAll);
    }
  }

  /** @type {View} */
  const view = { model, ui, parts, state, update, follow, choose, click };
  const showFound = listenToHead(view);
  listenToMargin(view);
  listenToChart(view);
  listenToChoice(view);
  const { forgetTyped, end } = listenToNewPosition(view);
  listenToDetails(view);
  const beginReading = listenToActions(view);

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
    end();
    clearInterval(clock);
    unwatch();
    unask();
    unhide();
    for (const [events, listener] of Object.entries(listeners)) model.off(events, listener);
  };
}

export default { render };
