// Lists that open: tiers, liquidation prices, what the words mean.

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

/** Fill a list when it is opened. @param {View} view */
function listenToDetails(view) {
  const { parts, state } = view;
  for (const details of [parts.tiers, parts.liquidation, parts.terms]) {
    details.addEventListener("toggle", () => showDetails(parts, state()));
  }
}
