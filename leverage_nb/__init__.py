"""See, understand and change initial leverage on Binance USDⓈ-M Futures from a notebook.

    %load_ext leverage_nb
    %leverage BTCUSDT
    %leverage BTCUSDT 10

Public names are imported on first use: loading the extension costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from leverage_nb.account import Account
    from leverage_nb.change import LeverageChange
    from leverage_nb.changes.plan import Plan
    from leverage_nb.changes.preview import Preview
    from leverage_nb.connecting import connect, current
    from leverage_nb.errors import (
        ChangeInterrupted,
        ChangeNotApplied,
        ChangeNotSent,
        ChangeSuperseded,
        CredentialsMissing,
        InvalidLeverage,
        JournalUnusable,
        LeverageError,
        LeverageRefused,
        Mistake,
        NoAnswer,
        NotConnected,
        NotionalBeyondTiers,
        OutcomeUnknown,
        RateLimited,
        RequestRefused,
        UnexpectedAnswer,
        UnknownSymbol,
    )
    from leverage_nb.notebook.panel import LeveragePanel
    from leverage_nb.notebook.plots import plot_brackets, plot_ladder
    from leverage_nb.risk.brackets import Brackets
    from leverage_nb.risk.state import LeverageSetting
    from leverage_nb.simulator import Simulator

__version__ = "0.1.0"

_HOMES = {
    "Account": "account",
    "Brackets": "risk.brackets",
    "ChangeInterrupted": "errors",
    "ChangeNotApplied": "errors",
    "ChangeNotSent": "errors",
    "ChangeSuperseded": "errors",
    "CredentialsMissing": "errors",
    "InvalidLeverage": "errors",
    "JournalUnusable": "errors",
    "LeverageChange": "change",
    "LeverageError": "errors",
    "LeveragePanel": "notebook.panel",
    "LeverageRefused": "errors",
    "LeverageSetting": "risk.state",
    "Mistake": "errors",
    "NoAnswer": "errors",
    "NotConnected": "errors",
    "NotionalBeyondTiers": "errors",
    "OutcomeUnknown": "errors",
    "Plan": "changes.plan",
    "Preview": "changes.preview",
    "RateLimited": "errors",
    "RequestRefused": "errors",
    "Simulator": "simulator",
    "UnexpectedAnswer": "errors",
    "UnknownSymbol": "errors",
    "connect": "connecting",
    "current": "connecting",
    "plot_brackets": "notebook.plots",
    "plot_ladder": "notebook.plots",
}

__all__ = [
    "Account",
    "Brackets",
    "ChangeInterrupted",
    "ChangeNotApplied",
    "ChangeNotSent",
    "ChangeSuperseded",
    "CredentialsMissing",
    "InvalidLeverage",
    "JournalUnusable",
    "LeverageChange",
    "LeverageError",
    "LeveragePanel",
    "LeverageRefused",
    "LeverageSetting",
    "Mistake",
    "NoAnswer",
    "NotConnected",
    "NotionalBeyondTiers",
    "OutcomeUnknown",
    "Plan",
    "Preview",
    "RateLimited",
    "RequestRefused",
    "Simulator",
    "UnexpectedAnswer",
    "UnknownSymbol",
    "connect",
    "current",
    "plot_brackets",
    "plot_ladder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%leverage`` and its Tab completion."""
    from leverage_nb.notebook.completion import match_leverage
    from leverage_nb.notebook.magic import LeverageMagics

    shell.register_magics(LeverageMagics)
    if match_leverage not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(match_leverage)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take ``%leverage`` away again."""
    from leverage_nb.notebook.completion import match_leverage

    if match_leverage in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(match_leverage)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("leverage", None)
    shell.magics_manager.registry.pop("LeverageMagics", None)
