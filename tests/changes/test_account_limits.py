"""Account limits are learned from the exchange's refusals, and apply until they lift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.account import Account, service_of
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.errors import LeverageRefused, RequestRefused
from leverage_nb.simulator import Simulator

# Binance's words: the first from a public report of 2026-10, the others from its error-code page.
YOUNG = (
    "You can start trading with more than 20x leverage by {} (UTC), because higher leverage is available 30 days "
    "after Futures account registration."
)


def refusal(code: int, words: str) -> RequestRefused:
    """Return a refusal with a code and a text of the exchange."""
    return RequestRefused("refused", code=code, words=words)


@pytest.mark.parametrize(
    ("code", "words", "most", "everywhere"),
    [
        (-4202, "Intermediate Personal Verification is required for adjusting leverage over 20x", 20, True),
        (-4203, "More than 20x leverage is available one month after account registration.", 20, True),
        (-4206, "Users in your location/country can only access a maximum leverage of 10", 10, True),
        (-4208, "Current symbol leverage cannot exceed 20 when using position limit adjustment service.", 20, False),
        (-4209, "Leverage adjustment failed. Current symbol max leverage limit is 50x", 50, False),
        (-4209, "The max leverage of Symbol is 20x", 20, False),
        (-4209, "The max leverage of BTCUSDT is 25x", 25, False),
        (-4209, "The max leverage of 42USDT is 5x", 5, False),
        (-4206, "The max leverage of Symbol is 20x", 20, False),
        (-4206, "The max leverage of BTCUSDT is 5x", 5, False),
        (-4206, "Users in your country can only access a maximum leverage of: 50x", 50, True),
        (-4206, "Users in this country has limited adjust leverage.", 20, True),
        (-4403, "the leverage can only up to 5x in your region", 5, True),
        (
            -4403,
            "Dear user, as per our Terms of Use and compliance with local regulations, the leverage can only up to 10x "
            "in your region",
            10,
            True,
        ),
        (-4300, "More than 20x leverage is not available yet.", 20, True),
        (-4300, "", 20, True),
        (-4300, "\u0662\u0660x", 20, True),
    ],
)
def test_limits_are_read_from_the_text_of_a_refusal(code: int, words: str, most: int, everywhere: bool) -> None:
    """The limit that a refusal names is stored for its symbol, or for all symbols if it applies to the account."""
    limits = AccountLimits()
    limits.learn("BTCUSDT", refusal(code, words))
    limit = limits.of("BTCUSDT")
    assert limit is not None
    assert (limit.max_leverage, limit.code, limit.words) == (most, code, words)
    assert (limits.of("ETHUSDT") is not None) == everywhere


def test_a_limit_ends_at_the_time_that_the_exchange_named() -> None:
    """A limit of -4300 applies until the time in its text, and is dropped after it."""
    limits = AccountLimits()
    later = datetime.now(tz=UTC) + timedelta(days=3)
    limits.learn("BTCUSDT", refusal(-4300, YOUNG.format(f"{later:%Y-%m-%d %H:%M}")))
    limit = limits.of("ETHUSDT")
    assert limit is not None
    assert limit.until is not None
    assert abs(limit.until - later) < timedelta(minutes=1)
    limits.learn("BTCUSDT", refusal(-4300, YOUNG.format("2026-10-29 01:34")))
    assert limits.of("ETHUSDT") is None


@given(st.sampled_from([-4202, -4206, -4209, -4300, -4403]), st.text(), st.sampled_from(["", "than ", "leverage of "]))
def test_no_text_raises_an_exception(code: int, words: str, start: str) -> None:
    """A limit is learned from any text, and is a leverage."""
    limits = AccountLimits()
    limits.learn("BTCUSDT", refusal(code, f"{start}{words}"))
    limit = limits.of("BTCUSDT")
    assert limit is None or 1 <= limit.max_leverage <= 999


def test_a_refusal_without_a_limit_is_ignored() -> None:
    """A refusal that names no limit is not stored."""
    limits = AccountLimits()
    limits.learn("BTCUSDT", refusal(-2027, "Exceeded the maximum allowable position at current leverage."))
    assert limits.of("BTCUSDT") is None


def test_a_learned_limit_is_in_outlook_and_preview(account: Account, simulator: Simulator) -> None:
    """After -4300 outlook and preview expect that refusal, and the bound is the limit until a change disproves it."""
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
    planned = account.plan({"DOGEUSDT": "max", "XRPUSDT": 10}).rows
    assert {row.symbol: "the account is limited to 20x" in row.limited_by for row in planned} == {
        "DOGEUSDT": True, "XRPUSDT": False,
    }  # fmt: skip
    books.set_leverage = plain  # type: ignore[method-assign]  # it has come of age
    assert account.preview("SOLUSDT", 30).apply(force=True).status == "applied"
    assert service_of(account).bound(account.tiers("BTCUSDT"))[0] == 150
    assert account.preview("SOLUSDT", 30).verdict == "unchanged"


def test_a_limit_that_is_learned_while_another_is_read_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that one thread learns while another thread asks for the limits is not lost."""
    limits = AccountLimits()

    class Until(datetime):
        """A lift time during whose comparison another limit is learned."""

        def __gt__(self, other: datetime) -> bool:
            limits.learn("ETHUSDT", refusal(-4209, "The max leverage of ETHUSDT is 25x"))
            return super().__gt__(other)

    with monkeypatch.context() as patched:
        patched.setattr("leverage_nb.changes.account_limits.read_lift_time", lambda _: Until(2999, 1, 1, tzinfo=UTC))
        limits.learn("BTCUSDT", refusal(-4300, ""))
    found = limits.of("BTCUSDT")
    limits.forget_below("BTCUSDT", 21)
    learned = limits.of("ETHUSDT")
    assert found is not None
    assert learned is not None
    assert (found.max_leverage, learned.max_leverage) == (20, 25)
