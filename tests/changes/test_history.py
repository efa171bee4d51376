"""The history is the journal as a DataFrame."""

from __future__ import annotations

import pytest

from leverage_nb.account import Account
from leverage_nb.errors import (
    LeverageRefused,
)


def test_the_history_has_a_row_per_attempt(account: Account) -> None:
    """Applied and refused changes have a row each; unchanged ones were not sent and have none."""
    assert list(account.history().columns[:7]) == [
        "sent_at", "symbol", "kind", "before", "requested", "after", "status",
    ]  # fmt: skip
    assert account.history().empty
    account.set_leverage("BTCUSDT", 10)
    account.set_leverage("BTCUSDT", 10)
    with pytest.raises(LeverageRefused):
        account.set_leverage("ETHUSDT", 5)
    history = account.history()
    assert history["symbol"].tolist() == ["BTCUSDT", "ETHUSDT"]
    assert history["status"].tolist() == ["applied", "refused"]
    assert history["code"].tolist()[1] == -4161
    assert history["after"].isna().tolist() == [False, True]
    assert history["max_notional"].iloc[0] == 230e6
    assert (history.index.name, history.columns.name) == ("number", "SIMULATOR")
    dtypes = {name: str(history[name].dtype) for name in ("before", "requested", "after", "code", "max_notional")}
    assert dtypes == {
        "before": "Int64", "requested": "int64", "after": "Int64", "code": "Int64", "max_notional": "float64",
    }  # fmt: skip
    assert str(history["sent_at"].dtype).startswith("datetime64")
