"""The guard, and limits that were met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.changes.guard import Guard
from leverage_nb.errors import ChangeNotSent, InvalidInput, LeverageRefused, RequestRefused
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


@pytest.mark.parametrize(
    ("mainnet", "argument", "config", "variable", "limit"),
    [
        (False, None, 0, None, None), (True, None, 0, None, 20), (False, 50, 0, None, 50),
        (True, 125, 0, None, 125), (True, 125, 30, None, 30), (True, 125, 30, "12x", 12),
        (False, 10, 30, "40", 10),
    ],
)  # fmt: skip
def test_the_strictest_source_wins(
    monkeypatch: pytest.MonkeyPatch, mainnet: bool, argument: Any, config: int, variable: str | None, limit: int | None
) -> None:
    """Of argument, %config and environment the lowest holds; on mainnet it is 20 when none is set."""
    if variable is not None:
        monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", variable)
    guard = Guard(mainnet, argument, lambda: config)
    found = guard.limit()
    assert (found and found[0]) == limit


@pytest.mark.parametrize("value", [-1, 0, 10.5, "many", True, [5]])
def test_a_guard_that_cannot_be_is_a_mistake(value: Any) -> None:
    """A guard with a slip in it stops at once: it must not fail to guard later."""
    with pytest.raises(InvalidInput, match="max_leverage"):
        Guard(True, value)


def test_the_guard_stops_before_anything_is_sent(simulator: Simulator) -> None:
    """125 typed for 12 is stopped in the API, previewed or not, forced or not."""
    account = connect_to(simulator, "mainnet")
    for attempt in (
        lambda: account.set_leverage("SOLUSDT", 25),
        lambda: account.preview("SOLUSDT", 25).apply(),
        lambda: account.preview("SOLUSDT", 25).apply(force=True),
    ):
        with pytest.raises(ChangeNotSent, match="above your guard of 20x") as caught:
            attempt()
        assert caught.value.change is not None
        assert caught.value.change.status == "not_sent"
    assert simulator.exchange.account.leverage("SOLUSDT") == 20
    assert "above your guard of 20x" in account.preview("SOLUSDT", 25).guard
    assert service_of(account).bound(account.tiers("SOLUSDT")) == (20, "your guard: the default on mainnet")
    assert account.highest_leverage("SOLUSDT") == 20


# Binance's words: the first from a public report of 2026-10, the others from its error-code page.
YOUNG = (
    "You can start trading with more than 20x leverage by {} (UTC), because higher leverage is available 30 days "
    "after Futures account registration."
)


def refusal(code: int, words: str) -> RequestRefused:
    """A refusal as the exchange words it."""
    return RequestRefused("refused", code=code, words=words)


@pytest.mark.parametrize(
    ("code", "words", "most", "everywhere"),
    [
        (-4202, "Intermediate Personal Verification is required for adjusting leverage over 20x", 20, True),
        (-4203, "More than 20x leverage is available one month after account registration.", 20, True),
        (-4206, "Users in your location/country can only access a maximum leverage of 10", 10, True),
        (-4208, "Current symbol leverage cannot exceed 20 when using position limit adjustment service.", 20, False),
        (-4209, "Leverage adjustment failed. Current symbol max leverage limit is 50x", 50, False),
        (-4403, "the leverage can only up to 5x in your region", 5, True),
    ],
)
def test_limits_are_read_from_binances_words(code: int, words: str, most: int, everywhere: bool) -> None:
    """What a refusal names is remembered, for the symbol or for all, as far as it reaches."""
    limits = AccountLimits()
    limits.learn("BTCUSDT", refusal(code, words))
    limit = limits.of("BTCUSDT")
    assert limit is not None
    assert (limit.max_leverage, limit.code, limit.words) == (most, code, words)
    assert (limits.of("ETHUSDT") is not None) == everywhere


def test_a_limit_lifts_when_the_exchange_said() -> None:
    """-4300 names the time at which it lifts: until then it holds, after it, it is forgotten."""
    limits = AccountLimits()
    later = datetime.now(tz=UTC) + timedelta(days=3)
    limits.learn("BTCUSDT", refusal(-4300, YOUNG.format(f"{later:%Y-%m-%d %H:%M}")))
    limit = limits.of("ETHUSDT")
    assert limit is not None
    assert limit.until is not None
    assert abs(limit.until - later) < timedelta(minutes=1)
    limits.learn("BTCUSDT", refusal(-4300, YOUNG.format("2026-10-29 01:34")))
    assert limits.of("ETHUSDT") is None


def test_other_refusals_are_no_limits() -> None:
    """A refusal that names no limit is not remembered."""
    limits = AccountLimits()
    limits.learn("BTCUSDT", refusal(-2027, "Exceeded the maximum allowable position at current leverage."))
    assert limits.of("BTCUSDT") is None


def test_a_limit_that_was_met_is_in_outlook_and_preview(account: Account, simulator: Simulator) -> None:
    """After -4300 the outlook expects it again, and the slider stops there."""
    books = simulator.exchange.account
    plain = books.set_leverage

    def limited(name: str, leverage: int) -> bool:
        if leverage > 20:
            raise simulator_refusal(400, -4300, YOUNG.format("2999-01-01 00:00"))
        return plain(name, leverage)

    from leverage_nb.simulator.account import Refused as simulator_refusal  # noqa: N813 - its name there says what it does

    books.set_leverage = limited  # type: ignore[method-assign]  # an account that is too young
    with pytest.raises(LeverageRefused) as caught:
        account.set_leverage("SOLUSDT", 25)
    assert caught.value.code == -4300
    preview = account.preview("ETHUSDT", 30)
    assert (preview.verdict, preview.code) == ("refused", -4300)
    assert "2999-01-01" in preview.reason
    assert service_of(account).bound(account.tiers("BTCUSDT")) == (20, "an account limit of the exchange")
    assert account.outlook("SOLUSDT").loc[21, "code"] == -4300
    books.set_leverage = plain  # type: ignore[method-assign]  # it has come of age
    assert account.preview("SOLUSDT", 30).apply(force=True).status == "applied"
    assert service_of(account).bound(account.tiers("BTCUSDT"))[0] == 150
    assert account.preview("SOLUSDT", 30).verdict == "unchanged"


def test_config_guards_every_account_of_the_process(account: Account) -> None:
    """%config holds for accounts and previews made before and after it, in Python too."""
    preview = account.preview("SOLUSDT", 75)
    session.max_leverage = 12
    for attempt in (lambda: account.set_leverage("SOLUSDT", 75), preview.apply):
        with pytest.raises(ChangeNotSent, match="above your guard of 12x"):
            attempt()
    assert service_of(account).bound(account.tiers("SOLUSDT"))[0] == 12
