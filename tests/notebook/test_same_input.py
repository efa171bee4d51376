"""Every public entry point reads symbols, leverages and notionals alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import leverage_nb as lev
from leverage_nb.errors import InvalidInput
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.session import current
from tests.notebook.commands import run, run_cell

# BTCUSDT allows up to 150x; by Binance's published tiers, 10x allows 230 million and a notional of 2 million 75x.
Entry = Callable[[InteractiveShell, Any], Any]


def outcome(entry: Entry, shell: InteractiveShell, typed: Any) -> str:
    """Return what an entry point makes of an input: its result as text, or its error."""
    try:
        return str(entry(shell, typed))
    except InvalidInput as exc:
        return str(exc)


SYMBOL_ENTRIES: dict[str, Entry] = {
    "brackets": lambda _, typed: current().brackets(typed).attrs["symbol"],
    "brackets, several": lambda _, typed: current().brackets([typed]).index.unique("symbol")[0],
    "tiers": lambda _, typed: current().tiers(typed).symbol,
    "find_symbol": lambda _, typed: current().find_symbol(typed),
    "setting": lambda _, typed: current().setting(typed).symbol,
    "settings": lambda _, typed: current().settings(typed).index[0],
    "ladder": lambda _, typed: current().ladder(typed, 1_000) is not None and current().find_symbol(typed),
    "outlook": lambda _, typed: current().outlook(typed) is not None and current().find_symbol(typed),
    "mark_price": lambda _, typed: current().mark_price(typed) > 0 and current().find_symbol(typed),
    "highest_leverage": lambda _, typed: current().highest_leverage(typed) > 0 and current().find_symbol(typed),
    "preview": lambda _, typed: current().preview(typed, 10).symbol,
    "set_leverage": lambda _, typed: current().set_leverage(typed, 10).symbol,
    "panel": lambda _, typed: LeveragePanel(current(), typed).symbol,
    "%leverage, panel": lambda shell, typed: run(shell, typed).symbol,
    "%leverage, change": lambda shell, typed: run(shell, f"{typed} 10").symbol,
    "%leverage --brackets": lambda shell, typed: run(shell, f"{typed} --brackets").attrs["symbol"],
}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("BTCUSDT", "BTCUSDT"), ("btcusdt", "BTCUSDT"), ("btc/usdt", "BTCUSDT"), ("BTC/USDT:USDT", "BTCUSDT"),
        ("sol", "SOL is not a symbol on the simulator. Did you mean SOLUSDT"),
        ("BTCUSTD", "BTCUSTD is not a symbol on the simulator. Did you mean BTCUSDT"),
    ],
)  # fmt: skip
def test_a_symbol_is_read_alike(shell: InteractiveShell, typed: str, expected: str) -> None:
    """A symbol in any spelling is the same symbol, or the same error with suggestions, everywhere."""
    found = {name: outcome(entry, shell, typed) for name, entry in SYMBOL_ENTRIES.items()}
    assert len(set(found.values())) == 1, found
    assert found["tiers"].startswith(expected)
    in_plans = {
        outcome(lambda _, one: current().plan({one: 10}).rows[0].symbol, shell, typed),
        outcome(lambda _, one: current().plan(f"{one} 10\n").rows[0].symbol, shell, typed),
        outcome(lambda shell, one: run_cell(shell, "-n", f"{one} 10").rows[0].symbol, shell, typed),
    }
    assert all(expected.split(".")[0] in text for text in in_plans)


LEVERAGE_ENTRIES: dict[str, Entry] = {
    "preview": lambda _, typed: current().preview("BTCUSDT", typed).after,
    "set_leverage": lambda _, typed: current().set_leverage("BTCUSDT", typed).requested,
    "max_notional": lambda _, typed: lev.Brackets.max_notional(current().tiers("BTCUSDT"), typed) == 230e6 and 10,
    "plot_brackets": lambda _, typed: int(_marked(lev.plot_brackets(current().tiers("BTCUSDT"), typed))),
    "plot_brackets, mapping": lambda _, typed: int(
        _marked(lev.plot_brackets(current().tiers("BTCUSDT"), {"btc/usdt": typed}))
    ),
    "%leverage": lambda shell, typed: run(shell, f"BTCUSDT {typed}").requested,
    "%leverage -n": lambda shell, typed: run(shell, f"BTCUSDT {typed} -n").after,
}


def _planned(plan: Any) -> Any:
    return plan.rows[0].reason if plan.rows[0].verdict == "refused" else plan.rows[0].after


def _marked(ax: Any) -> Any:
    return next(line for line in ax.get_lines() if line.get_marker() == "D").get_xdata()[0]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (10, "10"), ("10", "10"), ("10x", "10"), ("10X", "10"),
        (200, "200x is above BTCUSDT's maximum of 150x."), ("200x", "200x is above BTCUSDT's maximum of 150x."),
        ("+5", "+5 is not a leverage for BTCUSDT: a leverage has no sign. Use a whole number from 1 to 150"),
        ("-5", "-5 is not a leverage for BTCUSDT: a leverage has no sign. Use a whole number from 1 to 150"),
        (-5, "-5 is not a leverage for BTCUSDT: a leverage has no sign. Use a whole number from 1 to 150"),
        ("0", "0 is not a leverage for BTCUSDT: use a whole number from 1 to 150"),
        ("10.5", "10.5 is not a leverage for BTCUSDT: use a whole number from 1 to 150"),
        (10.5, "10.5 is not a leverage for BTCUSDT: use a whole number from 1 to 150"),
    ],
)  # fmt: skip
def test_a_leverage_is_read_alike(shell: InteractiveShell, typed: Any, expected: str) -> None:
    """A leverage is the same number or error everywhere; in a plan the row has the error, or the error names it."""
    found = {name: outcome(entry, shell, typed) for name, entry in LEVERAGE_ENTRIES.items()}
    assert len(set(found.values())) == 1, found
    assert found["preview"].startswith(expected)
    in_plans = {
        outcome(lambda _, one: _planned(current().plan({"BTCUSDT": one})), shell, typed),
        outcome(lambda _, one: _planned(current().plan(f"BTCUSDT {one}\n")), shell, typed),
        outcome(lambda shell, one: _planned(run_cell(shell, "-n", f"BTCUSDT {one}")), shell, typed),
    }
    assert all(expected.rstrip(".") in text for text in in_plans), in_plans


NOTIONAL_ENTRIES: dict[str, Entry] = {
    "max_leverage": lambda _, typed: current().tiers("BTCUSDT").max_leverage(typed),
    "highest_leverage": lambda _, typed: current().highest_leverage("BTCUSDT", typed),
    "preview": lambda _, typed: current().preview("BTCUSDT", "max", notional=typed).after,
    "set_leverage": lambda _, typed: current().set_leverage("BTCUSDT", "max", notional=typed).requested,
    "ladder": lambda _, typed: current().ladder("BTCUSDT", notional=typed)["initial_margin"].dropna().index[-1],
    "%leverage": lambda shell, typed: run(shell, f"BTCUSDT max --notional {typed}").requested,
}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (2e6, "75"), ("2m", "75"), ("2M", "75"), ("2e6", "75"), ("2,000,000", "75"), ("2_000_000", "75"),
        ("much", "much is not a notional. Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000."),
        ("2q", "2q is not a notional. Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000."),
        ("0", "0 is not a notional. Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000."),
    ],
)  # fmt: skip
def test_a_notional_is_read_alike(shell: InteractiveShell, typed: Any, expected: str) -> None:
    """A notional is the same size, or the same error, everywhere."""
    found = {name: outcome(entry, shell, typed) for name, entry in NOTIONAL_ENTRIES.items()}
    assert set(found.values()) == {expected}, found


def test_max_is_read_alike(shell: InteractiveShell) -> None:
    """The word max, in any case, is the same leverage everywhere, and a notional goes with it only."""
    account = current()
    found = {
        account.preview("BTCUSDT", "max").after, account.preview("BTCUSDT", " MAX ").after,
        account.plan({"BTCUSDT": "Max"}).rows[0].after, run(shell, "BTCUSDT max -n").after,
        run_cell(shell, "-n", "BTCUSDT: MAX").rows[0].after, account.highest_leverage("BTCUSDT"),
        account.set_leverage("BTCUSDT", "max").after,
    }  # fmt: skip
    assert len(found) == 1
    for entry in (account.preview, account.set_leverage):
        with pytest.raises(InvalidInput, match='A notional needs the leverage "max"'):
            entry("BTCUSDT", 10, notional="2m")


def test_several_symbols_are_read_alike(shell: InteractiveShell) -> None:
    """Commas and spaces between symbols, and a list, give the same symbols in %leverage and in Python."""
    both = ["BTCUSDT", "SOLUSDT"]
    for typed in ("BTCUSDT, SOLUSDT", "btcusdt,sol/usdt", "BTCUSDT SOLUSDT", "BTCUSDT , SOLUSDT"):
        assert list(run(shell, typed).index) == both
        assert list(current().settings(typed).index) == both
        assert list(current().brackets(typed).index.unique("symbol")) == both
        assert list(run(shell, f"{typed} --brackets").index.unique("symbol")) == both
    assert run(shell, "BTCUSDT, 10").requested == 10
