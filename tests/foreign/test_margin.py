"""Margin types and isolated margin on an exchange whose answers are not the documented ones: every outcome is true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import product
from time import monotonic
from typing import Any

import pytest

from leverage_nb import Account
from leverage_nb.change import Change
from leverage_nb.errors import LeverageError
from tests.foreign.answers import ODD_HISTORIES, ODD_SUCCESSES, position
from tests.foreign.conftest import outcome_if_sent
from tests.foreign.desks import desk, outcomes
from tests.foreign.exchange import CONFIG, MARGIN, MARGIN_TYPE, MARGINS, POSITIONS, ForeignExchange
from tests.foreign.wire import RESET, Reply
from tests.side_by_side import side_by_side

# 1 ETH at 50,000 with 5,000 in its wallet; at 20x it needs 2,500.
ETH = position(
    "ETHUSDT", entryPrice="50000", markPrice="50000", notional="50000", isolatedWallet="5000", isolatedMargin="5000",
    positionInitialMargin="2500",
)  # fmt: skip
DONE = {"code": 200, "msg": "Successfully modify position margin.", "amount": 100.0, "type": 1}

QUICK = {"recv_window": 1500, "grace": 0.2}


@contextmanager
def quick_desk(**options: Any) -> Iterator[tuple[ForeignExchange, Account]]:
    """Open an account with an isolated position, whose attempts pass their deadline after 1.7 s, for one case."""
    with desk(**QUICK, **options) as (exchange, account):
        exchange.positions, exchange.leverages["ETHUSDT"] = [dict(ETH)], 20
        account.symbols()
        yield exchange, account


@pytest.fixture
def quick(exchange: ForeignExchange, connect: Callable[..., Account]) -> Account:
    """An account with an isolated position, whose attempts pass their deadline after 1.7 s."""
    exchange.positions, exchange.leverages["ETHUSDT"] = [dict(ETH)], 20
    account = connect(**QUICK)
    account.symbols()
    return account


def moved(exchange: ForeignExchange, account: Account, amount: object = 100) -> Change:
    """Change the isolated margin of ETHUSDT, and check that it was posted once, and not again."""
    before = len(exchange.arrived(MARGIN))
    change = outcome_if_sent(lambda: account.change_isolated_margin("ETHUSDT", amount))  # type: ignore[arg-type, return-value]
    exchange.clear()
    account.settle()
    assert len(exchange.arrived(MARGIN)) == before + 1
    return change


def typed(exchange: ForeignExchange, account: Account, wanted: str = "isolated") -> Change:
    """Change the margin type of BTCUSDT, and check that it was posted once."""
    change = outcome_if_sent(lambda: account.set_margin_type("BTCUSDT", wanted))  # type: ignore[return-value]
    assert len(exchange.arrived(MARGIN_TYPE)) == 1
    return change


def test_an_odd_success_is_applied() -> None:
    """An executed change is applied by an answer that names the amount, and by the history otherwise."""

    def check(name: str, amount: object) -> None:
        with quick_desk() as (exchange, quick):
            exchange.play(MARGIN, edit=ODD_SUCCESSES[name])
            change = moved(exchange, quick, amount)
            named = not name.startswith("nothing")
            assert (change.status, change.confirmed_by) == ("applied", "answer" if named else "history")

    side_by_side(check, product(ODD_SUCCESSES, [100, "-50.25"]))


NO_PROOFS: dict[str, Reply] = {
    "another amount": Reply.of(DONE | {"amount": 100.5}),
    "the other direction": Reply.of(DONE | {"type": 2}),
    "a negative amount": Reply.of(DONE | {"amount": -100.0}),
    "no number": Reply.of(DONE | {"amount": "NaN"}),
    "a truth value": Reply.of(DONE | {"amount": True}),
    "no amount": Reply.of({"code": 200, "msg": "success", "type": 1}),
    "no direction": Reply.of({"code": 200, "msg": "success", "amount": 100.0}),
    "code 0": Reply.of(DONE | {"code": 0}),
    "code 201": Reply.of(DONE | {"code": 201}),
    "no code": Reply.of({"amount": 100.0, "type": 1}),
    "a negative code as text": Reply.of(DONE | {"code": "-4051"}),
    "a list": Reply.of([DONE]),
    "status 201": Reply.of(DONE, 201),
    "status 202": Reply.of(DONE, 202),
    "a refusal with status 200": Reply.error(200, -4051, "Isolated balance insufficient."),
    "a refusal with status 500": Reply.error(500, -4051, "Isolated balance insufficient."),
    "a page": Reply.html(200),
    "a page with 429": Reply.html(429),
    "no body": Reply(200, (b"",)),
    "a reset": RESET,
}


def test_what_proves_nothing_is_looked_up() -> None:
    """After an answer that proves nothing the history decides; without an entry the outcome is unknown for good."""

    def check(name: str, executed: bool) -> None:
        with quick_desk(timeout=4.0) as (exchange, quick):
            exchange.play(MARGIN, execute=executed, answer=NO_PROOFS[name])
            change = moved(exchange, quick)
            if change.status == "unknown" and not change.is_final:  # after 429 the history cannot be read for some time
                assert "429" in name
                return
            assert (change.status, change.confirmed_by, change.is_final) == (
                ("applied", "history", True) if executed else ("unknown", None, True)
            )

    side_by_side(check, product(NO_PROOFS, [True, False]), at_once=20)


PROVEN = {"no positionSide", "no deltaType", "newest first", "no signs", "amounts as numbers", "times as text"}


def test_an_odd_history_is_read() -> None:
    """One entry that fits is found in any spelling of it, among those of other amounts and directions."""

    def check(name: str, amount: object) -> None:
        with quick_desk() as (exchange, quick):
            for other in ("100.01", "-50", "-100", "50.25"):
                exchange.move_margin("ETHUSDT", other)
            exchange.move_margin("ETHUSDT", "-50.25", reason="FUNDING_FEE")
            if name == "no deltaType":
                exchange.margins.pop()  # nothing tells it from a user's
            exchange.play(MARGIN, answer=RESET)
            exchange.play(MARGINS, edit=ODD_HISTORIES[name], times=None)
            change = moved(exchange, quick, amount)
            assert change.status == ("applied" if name in PROVEN else "unknown")
            assert change.is_final

    side_by_side(check, product(ODD_HISTORIES, [100, "-50.25"]))


def _times(rows: Any, factor: float) -> Any:
    return [row | {"time": int(row["time"] * factor)} for row in rows]


# Histories of which none proves that the change was executed, although it was; and whether the answer is readable.
USELESS: dict[str, tuple[bool, Callable[[Any], Any]]] = {
    "seconds": (True, lambda rows: _times(rows, 1e-3)),
    "microseconds": (False, lambda rows: _times(rows, 1e3)),
    "every entry twice": (True, lambda rows: [row for row in rows for _ in range(2)]),
    "another symbol": (True, lambda rows: [row | {"symbol": "BTCUSDT"} for row in rows]),
    "another side": (True, lambda rows: [row | {"positionSide": "LONG"} for row in rows]),
    "another direction": (True, lambda rows: [row | {"type": 3 - row["type"]} for row in rows]),
    "another reason": (True, lambda rows: [row | {"deltaType": "AUTO_ADD"} for row in rows]),
    "500 entries": (False, lambda rows: [rows[-1] | {"amount": str(n)} for n in range(1000, 1499)] + rows[-1:]),
    "a word as amount": (False, lambda rows: [row | {"amount": "much"} for row in rows]),
    "an infinite amount": (False, lambda rows: [row | {"amount": "Infinity"} for row in rows]),
    "no number": (False, lambda rows: [row | {"amount": "NaN"} for row in rows]),
    "a signalling NaN": (False, lambda rows: [row | {"amount": "sNaN"} for row in rows]),
    "a huge exponent": (False, lambda rows: [row | {"amount": "1E+999999"} for row in rows]),
    "null": (False, lambda rows: [None, *rows]),
    "an object": (False, lambda rows: {"rows": rows}),
}


def test_a_useless_history_proves_nothing() -> None:
    """A history without exactly one entry that fits leaves the outcome unknown; one that is unreadable, open."""

    def check(name: str) -> None:
        with quick_desk(timeout=4.0) as (exchange, quick):
            is_readable, edit = USELESS[name]
            exchange.play(MARGIN, answer=RESET)
            exchange.play(MARGINS, edit=edit, times=None)
            change = moved(exchange, quick)
            assert (change.status, change.is_final) == ("unknown", is_readable)
            assert outcomes(quick) == ["unknown" if is_readable else "applied"]

    side_by_side(check, ((name,) for name in USELESS))


def test_an_unreadable_history_is_read_later() -> None:
    """If the history cannot be read, the attempt stays open, and is settled once it can."""

    def check(answer: Reply) -> None:
        with quick_desk(timeout=4.0) as (exchange, quick):
            exchange.play(MARGIN, answer=RESET)
            exchange.play(MARGINS, answer=answer, times=None)
            change = moved(exchange, quick)
            assert (change.status, change.is_final) == ("unknown", False)
            assert outcomes(quick) == ["applied"]

    answers = [Reply.html(200), Reply.html(503), RESET, Reply.error(400, -1121, "Invalid symbol.")]
    side_by_side(check, ((answer,) for answer in answers))


def test_clocks_30_seconds_apart() -> None:
    """With the clocks 30 s apart, lost answers are settled by the exchange's clock, and no entry counts twice."""

    def check(shift: int) -> None:
        with desk(**QUICK) as (exchange, account):
            exchange.clock_shift = shift
            exchange.positions, exchange.leverages["ETHUSDT"] = [dict(ETH)], 20
            assert moved(exchange, account).status == "applied"
            for executed in (False, True):  # the entry of the second may be that of the first
                exchange.play(MARGIN, execute=executed, answer=RESET)
                assert moved(exchange, account).status == "unknown"
            exchange.play(MARGIN, answer=RESET)
            assert moved(exchange, account, 101).confirmed_by == "history"
            exchange.play(MARGIN_TYPE, answer=RESET)
            assert typed(exchange, account).status == "applied"

    side_by_side(check, [(-30_000,), (30_000,)])


def test_a_slow_history_is_awaited(exchange: ForeignExchange, quick: Account) -> None:
    """A history that takes most of the time-out is read."""
    exchange.play(MARGIN, answer=RESET)
    exchange.play(MARGINS, delay=1.5)
    assert moved(exchange, quick).confirmed_by == "history"


def test_a_margin_type_rests_on_a_read() -> None:
    """Whatever looks like a success, a read of the setting decides."""

    def check(name: str, executed: bool) -> None:
        with quick_desk() as (exchange, quick):
            success = {"code": 200, "msg": "success"}
            others = {
                "status 201": Reply.of(success, 201),
                "another code": Reply.of({"code": 201}),
                "a page": Reply.html(200),
            }
            answer = others.get(name) or Reply.of(ODD_SUCCESSES[name](success))
            exchange.play(MARGIN_TYPE, execute=executed, answer=answer)
            change = typed(exchange, quick)
            assert (change.status, change.confirmed_by) == ("applied" if executed else "not_applied", "symbolConfig")
            assert change.after == ("isolated" if executed else "cross")

    side_by_side(check, product([*ODD_SUCCESSES, "status 201", "another code", "a page"], [True, False]))


def _shown(word: Any) -> Callable[[Any], Any]:
    return lambda rows: [row | ({"marginType": word} if row["marginType"] == "ISOLATED" else {}) for row in rows]


WORDS: list[tuple[Any, str]] = [
    ("isolated", "applied"), ("Isolated", "applied"), ("ISOLATED_2", "superseded"), ("", "superseded"),
    ("CROSS", "not_applied"), ("crossed", "not_applied"), ("cross", "not_applied"), (None, "unknown"), (5, "unknown"),
]  # fmt: skip


def test_words_for_margin_types() -> None:
    """Margin types are read in any case; another word is no proof, and an unreadable one leaves the attempt open."""

    def check(word: Any, status: str) -> None:
        with quick_desk(timeout=4.0) as (exchange, quick):
            exchange.play(CONFIG, edit=_shown(word), times=None)
            assert typed(exchange, quick).status == status

    side_by_side(check, WORDS)


def test_a_margin_type_that_is_shown_late(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """While reads show the margin type before, an accepted change is awaited until its deadline."""
    account = connect(recv_window=10_000)
    until = [monotonic() + 3600]

    def late(rows: Any) -> Any:
        return [row | ({"marginType": "CROSSED"} if monotonic() < until[0] else {}) for row in rows]

    exchange.play(CONFIG, edit=late, times=None)
    exchange.play(MARGIN_TYPE, then=lambda: until.__setitem__(0, monotonic() + 1.0))
    change = typed(exchange, account)
    assert (change.status, change.after) == ("applied", "isolated")


FLAT = {"positionAmt": "0", "notional": "0"}
ROWS: dict[str, tuple[bool, list[dict[str, Any]]]] = {
    "the same row twice": (True, [dict(ETH), dict(ETH)]),
    "flat rows of both sides": (True, [dict(ETH), *(ETH | {"positionSide": side} | FLAT for side in
                                                    ("LONG", "SHORT"))]),
    "two rows that differ": (False, [dict(ETH), ETH | {"positionAmt": "2"}]),
    "a flat row": (False, [ETH | FLAT]),
    "a flat row with a sign": (False, [ETH | {"positionAmt": "-0.000", "notional": "-0"}]),
    "no row": (False, []),
    "a row without a size": (False, [{name: ETH[name] for name in ETH if name != "positionAmt"}]),
}  # fmt: skip


def test_odd_rows_of_positions() -> None:
    """Margin is changed only if the positions show, without contradiction, the position that was confirmed."""

    def check(name: str) -> None:
        with quick_desk() as (exchange, quick):
            preview = quick.preview_isolated_margin("ETHUSDT", 100).confirmed()
            is_usable, rows = ROWS[name]
            body = json.dumps(rows).encode()
            exchange.play(POSITIONS, answer=Reply(200, (body,)), times=None)
            try:
                status = preview.apply().status
            except LeverageError as exc:
                status = exc.change.status if exc.change else "not_sent"
            assert status == ("applied" if is_usable else "not_sent")
            assert len(exchange.arrived(MARGIN)) == (1 if is_usable else 0)

    side_by_side(check, ((name,) for name in ROWS))


AMOUNTS: list[tuple[object, str]] = [
    ("1k", "1000"), (1e3, "1000"), ("-1_000.50", "1000.5"), (-1e-8, "0.00000001"), ("0.1e1", "1"),
    (Decimal("1E+2"), "100"), (Decimal("-12.50"), "12.5"),
]  # fmt: skip


def test_the_amount_is_sent_in_digits() -> None:
    """The body has the amount in plain digits, without sign or exponent, and the direction as type."""

    def check(amount: object, digits: str) -> None:
        with quick_desk() as (exchange, quick):
            moved(exchange, quick, amount)
            [sent] = exchange.arrived(MARGIN)
            assert (sent.parameters["amount"], sent.parameters["type"]) == (
                digits,
                "2" if str(amount)[0] == "-" else "1",
            )
            assert "positionSide" not in sent.parameters

    side_by_side(check, AMOUNTS)
