"""See, understand and change initial leverage on Binance USDⓈ-M Futures from a notebook.

    %load_ext leverage_nb
    %leverage BTCUSDT
    %leverage BTCUSDT 10

Public names are imported on first use, so that loading the extension takes a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from leverage_nb.account import Account
    from leverage_nb.binance.credentials import KeyWarning
    from leverage_nb.change import IsolatedMarginChange, LeverageChange, MarginTypeChange
    from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview
    from leverage_nb.changes.margin_type_preview import MarginTypePreview
    from leverage_nb.changes.multi_plan import MultiPlan
    from leverage_nb.changes.plan import Plan
    from leverage_nb.changes.preview import Preview
    from leverage_nb.changes.size_plan import SizePlan
    from leverage_nb.errors import (
        ChangedElsewhere,
        ChangeFailed,
        ChangeInterrupted,
        ChangeNotApplied,
        ChangeNotSent,
        ChangePending,
        ChangeSuperseded,
        CredentialsMissing,
        ForkedProcess,
        GuardExceeded,
        InvalidInput,
        InvalidLeverage,
        JournalUnusable,
        LeverageError,
        LeverageRefused,
        LoggedOut,
        NoAnswer,
        NotConfirmed,
        NotConnected,
        NothingToUndo,
        NotionalBeyondTiers,
        OutcomeUnknown,
        RateLimited,
        ReadOnly,
        RefusalExpected,
        RequestRefused,
        UnexpectedAnswer,
        UnknownSymbol,
        WrongAccount,
        WrongMode,
    )
    from leverage_nb.notebook.panel import LeveragePanel
    from leverage_nb.notebook.plots import plot_brackets, plot_ladder
    from leverage_nb.risk.account_state import LeverageSetting
    from leverage_nb.risk.brackets import Brackets
    from leverage_nb.session import connect, current, plan_profiles, policy_profiles
    from leverage_nb.simulator import Simulator

__version__ = "0.1.0"

__all__ = [
    "Account",
    "Brackets",
    "ChangeFailed",
    "ChangeInterrupted",
    "ChangeNotApplied",
    "ChangeNotSent",
    "ChangePending",
    "ChangeSuperseded",
    "ChangedElsewhere",
    "CredentialsMissing",
    "ForkedProcess",
    "GuardExceeded",
    "InvalidInput",
    "InvalidLeverage",
    "IsolatedMarginChange",
    "IsolatedMarginPreview",
    "JournalUnusable",
    "KeyWarning",
    "LeverageChange",
    "LeverageError",
    "LeveragePanel",
    "LeverageRefused",
    "LeverageSetting",
    "LoggedOut",
    "MarginTypeChange",
    "MarginTypePreview",
    "MultiPlan",
    "NoAnswer",
    "NotConfirmed",
    "NotConnected",
    "NothingToUndo",
    "NotionalBeyondTiers",
    "OutcomeUnknown",
    "Plan",
    "Preview",
    "RateLimited",
    "ReadOnly",
    "RefusalExpected",
    "RequestRefused",
    "Simulator",
    "SizePlan",
    "UnexpectedAnswer",
    "UnknownSymbol",
    "WrongAccount",
    "WrongMode",
    "connect",
    "current",
    "plan_profiles",
    "plot_brackets",
    "plot_ladder",
    "policy_profiles",
]

# Where the public names are defined that are not errors; each is imported on first use.
_MODULES = {
    "Account": "account",
    "Brackets": "risk.brackets",
    "IsolatedMarginChange": "change",
    "IsolatedMarginPreview": "changes.isolated_margin_preview",
    "KeyWarning": "binance.credentials",
    "LeverageChange": "change",
    "LeveragePanel": "notebook.panel",
    "LeverageSetting": "risk.account_state",
    "MarginTypeChange": "change",
    "MarginTypePreview": "changes.margin_type_preview",
    "MultiPlan": "changes.multi_plan",
    "Plan": "changes.plan",
    "Preview": "changes.preview",
    "Simulator": "simulator",
    "SizePlan": "changes.size_plan",
    "connect": "session",
    "current": "session",
    "plan_profiles": "session",
    "policy_profiles": "session",
    "plot_brackets": "notebook.plots",
    "plot_ladder": "notebook.plots",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%leverage`` and its Tab completion."""
    from leverage_nb.notebook.completion import match_leverage
    from leverage_nb.notebook.magic import LeverageMagics

    shell.register_magics(LeverageMagics)
    if match_leverage not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(match_leverage)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove ``%leverage`` and its Tab completion."""
    from leverage_nb.notebook.completion import match_leverage

    if match_leverage in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(match_leverage)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("leverage", None)
    shell.magics_manager.registry.pop("LeverageMagics", None)
