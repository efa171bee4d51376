// Symbol search, venue, margin type, mark price and live state.

const FOLLOWED = "Changes of leverage, margin, positions and multi-assets mode that are made elsewhere are shown";
const NOT_FOLLOWED = "Open orders, the position mode and prices are read with them; Reload reads them at any time";

const LIVE = {
  waiting: ["○ waiting for the kernel", "The kernel has not answered this page yet"],
  connecting: ["○ connecting", "The exchange's events are not connected yet"],
  connected: ["○ connected, no event yet", `${FOLLOWED} within about a minute. ${NOT_FOLLOWED}`],
  live: ["● live", `${FOLLOWED} within seconds. ${NOT_FOLLOWED}`],
  stale: ["○ stale", "Reload shows changes made elsewhere: "],
  lost: ["○ no kernel", ""],
};
const MOST_MATCHES = 60;

function showHead(parts, state, ui) {
  const { table } = state;
  parts.badge.innerHTML = table.badge;
  write(parts.marginType, table.marginType);
  const other = OTHER_MARGIN_TYPE[table.marginType];
  parts.marginType.title = "Margin type of the symbol: cross shares the balance, isolated has margin of its own. "
    + (other ? `Click to change it to ${other}` : "");
  parts.marginType.setAttribute("aria-label", `margin type ${table.marginType}${other ? `, change to ${other}` : ""}`);
  write(parts.modes, table.modes);
  parts.modes.title = "Modes of the account; they apply to all symbols, and are changed at Binance";
  parts.mark.innerHTML = `mark <b>${escape(table.mark)}</b>`;
  parts.mark.title = `The exchange's mark price as of ${table.asOf?.moment ?? "an unknown time"}; margin and liquidation use it`;
  write(parts.status, table.notTrading && `not trading (${table.notTrading})`);
  write(parts.account, table.account);
  parts.account.title = "The account, as a fingerprint of its key";
  write(parts.guard, table.guard?.text ?? "");
  parts.guard.hidden = table.guard === null;
  parts.guard.title = "Your own upper bound on leverage; nothing above it is sent";
  parts.guard.classList.toggle("leverage-lifted", table.guard?.lifted ?? false);
  parts.root.classList.toggle("leverage-real-money", table.realMoney);
  parts.root.setAttribute("aria-label", `${table.venue} ${table.symbol}`);
  showLive(parts, state);
  showSearch(parts, state, ui);
}

function showLive(parts, state) {
  const [text, title] = LIVE[state.live] ?? ["", ""];
  parts.live.dataset.live = state.live;
  write(parts.live, text);
  parts.live.title = title + state.liveReason;
}

function showSearch(parts, state, ui) {
  const { matches, table } = state;
  const open = matches !== null;
  if (!open) parts.symbol.value = table.symbol;
  parts.symbol.setAttribute("aria-expanded", String(open));
  parts.list.hidden = !open;
  write(parts.searchError, ui.searchError);
  if (!open) {
    parts.symbol.removeAttribute("aria-activedescendant");
    return;
  }
  const rows = matches.slice(0, MOST_MATCHES).map(([symbol, leverage, position, max], place) => {
    const row = element("div", "leverage-match", null);
    row.id = `${parts.list.id}-${place}`;
    row.dataset.symbol = symbol;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(place === ui.active));
    for (const text of [symbol, position, leverage, `max ${max}`]) element("span", "", row, text);
    return row;
  });
  if (matches.length > MOST_MATCHES) {
    rows.push(element("div", "leverage-no-match", null, `${matches.length - MOST_MATCHES} more: type to narrow`));
  }
  if (rows.length === 0) rows.push(element("div", "leverage-no-match", null, `No symbol matches “${ui.search}”.`));
  parts.list.replaceChildren(...rows);
  const active = rows[ui.active]?.id;
  if (active) parts.symbol.setAttribute("aria-activedescendant", active);
  else parts.symbol.removeAttribute("aria-activedescendant");
  rows[ui.active]?.scrollIntoView?.({ block: "nearest" });
}

/** Find a symbol, and change the margin type. Returns how to show the matches. @param {View} view */
function listenToHead(view) {
  const { parts, ui, state, update, click } = view;
  parts.marginType.addEventListener("click", () => {
    const to = OTHER_MARGIN_TYPE[state().table.marginType];
    click("margin type", `margin type ${to}`, { to });
  });

  const showFound = () => showSearch(parts, state(), ui);
  // Nothing is active before something is typed: Enter would show the first symbol of the list.
  const find = text => update({ search: text, active: text.trim() === "" ? -1 : 0, searchError: "" }, showFound);
  const endSearch = () => {
    update({ search: null, searchError: "" }, showFound);
    parts.symbol.blur();
  };
  function pick(symbol) {
    const { table } = state();
    endSearch();
    if (symbol !== table.symbol) click("select", `show ${symbol}`, { to: symbol });
  }
  parts.symbol.addEventListener("focus", () => {
    parts.symbol.select();
    find("");
  });
  parts.symbol.addEventListener("input", () => find(parts.symbol.value));
  parts.symbol.addEventListener("blur", () => update({ search: null }, showFound));
  parts.symbol.addEventListener("keydown", event => {
    const matches = state().matches ?? [];
    const direction = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (direction !== undefined) {
      event.preventDefault();
      const last = Math.min(matches.length, MOST_MATCHES) - 1;
      update({ active: Math.max(0, Math.min(last, ui.active + direction)) }, showFound);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (matches[ui.active]) pick(matches[ui.active][0]);
      else if (matches.length > 0) endSearch();
      else update({ searchError: `No symbol matches “${ui.search}”.` }, showFound);
    } else if (event.key === "Escape") {
      endSearch();
    }
  });
  // Before the field loses its focus, which closes the list.
  parts.list.addEventListener("pointerdown", event => {
    event.preventDefault();
    const symbol = event.target.closest("[data-symbol]")?.dataset.symbol;
    if (symbol) pick(symbol);
  });
  return showFound;
}
