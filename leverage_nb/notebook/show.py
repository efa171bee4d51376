"""What a ``%leverage`` line shows without changing anything: tables, plots, the panel, the overview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leverage_nb.errors import InvalidInput, UnknownSymbol, as_typed
from leverage_nb.notebook.notices import say

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from leverage_nb.account import Account


def show(account: Account, symbols: list[str], options: argparse.Namespace, *, in_terminal: bool) -> Any:
    """Return what a line asks to see.

    Args:
        account: The account.
        symbols: The symbols as typed.
        options: The parsed line.
        in_terminal: Whether only text can be shown, so that one symbol gets no panel.

    Raises:
        InvalidInput: A symbol or a size is invalid.
        LeverageError: It could not be read.
    """
    if options.history:
        history = account.history()
        return _only(history, history["symbol"], find_symbols(account, symbols), "No changes of {} yet.")
    if options.changes:
        changes = account.tier_changes()
        found = find_symbols(account, symbols)
        return _only(changes, changes.index, found, "No tier of {} has changed since the first read on this machine.")
    if size := getattr(options, "for"):
        return account.size_plan(dict.fromkeys(find_symbols(account, symbols), size))
    if options.brackets:
        return account.brackets(symbols[0] if len(symbols) == 1 else symbols or None)
    if options.plot:
        return _plot(account, symbols)
    if len(symbols) > 1:
        settings = account.settings(find_symbols(account, symbols))
        for symbol, status in settings.attrs["not_trading"].items():
            say(f"{symbol} is not trading ({status})")
        return settings
    from leverage_nb.notebook.overview import Overview, SymbolOverview

    if not symbols:
        return Overview.of(account)
    if in_terminal:
        return SymbolOverview.of(account, symbols[0])
    from leverage_nb.notebook.panel import LeveragePanel

    return LeveragePanel(account, symbols[0])


def _plot(account: Account, symbols: list[str]) -> Any:
    """Plot the tiers of symbols, with their leverages marked."""
    from leverage_nb.notebook.plots import plot_brackets

    settings = account.settings(find_symbols(account, symbols))
    names = list(settings.index)
    settings = settings.dropna(subset="leverage")  # without symbols whose leverage is not set
    fits = settings["leverage"] <= settings["symbol_max"]
    for symbol, row in settings[~fits].iterrows():
        say(f"{symbol}: {row['leverage']}x is above its maximum of {row['symbol_max']}x")
    now = {str(name): int(value) for name, value in settings[fits]["leverage"].items()}
    if len(names) == 1:
        return plot_brackets(account.brackets(names[0]), now.get(names[0]))
    return plot_brackets(account.brackets(names), now)


def find_symbols(account: Account, symbols: list[str]) -> list[str]:
    """Return symbols as the exchange spells them, each once.

    Raises:
        UnknownSymbol: The venue does not list one of them.
        InvalidInput: The second of two words is neither a symbol nor a leverage.
    """
    try:
        return list(dict.fromkeys(account.find_symbol(symbol) for symbol in symbols))
    except UnknownSymbol as exc:
        if len(symbols) != 2 or exc.suggestions or exc.symbol != symbols[1].upper():
            raise
    raise InvalidInput(
        f"{as_typed(symbols[1])} is neither a leverage nor a symbol.",
        hint=f"Try: %leverage {account.find_symbol(symbols[0])} 10",
    )


def _only(frame: pd.DataFrame, names: pd.Series | pd.Index, symbols: list[str], empty: str) -> pd.DataFrame:
    """Return the rows of some symbols; all without any."""
    if not symbols:
        return frame
    rows = frame[names.isin(symbols)]
    if rows.empty:
        rows.attrs["empty"] = empty.format(", ".join(symbols))
    return rows
