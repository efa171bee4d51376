// The position, and its isolated margin.

const TERMS = {
  notional: "Position size at mark price, in the margin asset",
  entry: "Average entry price",
  mark: "The exchange's mark price: profit, margin and liquidation use it",
  PnL: "Unrealised profit at mark price",
  liquidation: "The mark price at which the position is liquidated, and how far away it is",
  "margin used": "Initial margin of the position: notional divided by leverage",
  "isolated margin": "The position's own margin; it stays if the leverage is raised",
};

const OTHER_MARGIN_TYPE = { cross: "isolated", isolated: "cross" };

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

/** Add isolated margin, and reduce it. @param {View} view */
function listenToMargin(view) {
  const { parts, follow, click } = view;
  parts.margin.addEventListener("input", follow);
  parts.margin.addEventListener("click", event => {
    const button = event.target.closest("[data-direction]");
    if (!button || button.disabled) return;
    const row = button.closest("[data-side]");
    const asked = button.textContent.toLowerCase();
    const { side } = row.dataset;
    click("isolated margin", asked, { amount: row.firstElementChild.value, direction: button.dataset.direction, side });
  });
}
