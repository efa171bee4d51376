"""The table of faults: which leave a choice, and what they answer."""

from __future__ import annotations

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.fault_kinds import CHANGES, FOR_CHANGES, FOR_READS, KINDS
from leverage_nb.simulator.faults import Fault
from tests.simulator.calling import change, post_form, true_leverage


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.because])
def test_a_kind_without_a_choice_says_why(name: str) -> None:
    """A definite refusal cannot be injected as executed, nor reset_after as not executed; the error says why."""
    kind = KINDS[name]
    assert kind.choices == (kind.executed,)
    with pytest.raises(ValueError, match=kind.because):
        Fault(name, executed=not kind.executed)


def test_only_definite_answers_leave_no_choice() -> None:
    """A kind fixes the execution only by its name, or as a refusal that Binance documents or its rules give."""
    by_name = {"reset_before", "reset_after", "late_execution", "firewall_after"}
    refusals = {name for name, kind in KINDS.items() if kind.because} - by_name
    assert refusals == {
        "unavailable_503",
        "internal_503",
        "rate_limited",
        "rate_limited_for",
        "banned",
        "bad_date_text",
    }
    for name in refusals:
        assert KINDS[name].executed is False
        code = KINDS[name].body.get("code", 0)
        assert (KINDS[name].status < 500) == (code < 0)


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("unknown_503", 503, "Unknown error, please check your request or try again later."),
        ("unavailable_503", 503, "Service Unavailable."),
        ("internal_503", 503, "Internal error; unable to process your request. Please try again."),
        ("throttled_503", 503, "Request throttled by system-level protection."),
        ("throttled_502", 502, "Request throttled by system-level protection."),
        ("disconnected_500", 500, "Internal error"), ("disconnected_504", 504, "Internal error"),
        ("disconnected_200", 200, "Internal error"), ("shutdown_500", 500, "no longer available"),
        ("bad_date_text", 400, "by 2026-10-29 24:00 (UTC)"), ("banned", 418, "IP banned"),
        ("timeout_1007", 400, "execution status unknown"), ("rate_limited", 429, "Too many requests"),
        ("restricted", 451, "restricted location"), ("clock_skew", 400, "outside of the recvWindow"),
    ],
)  # fmt: skip
def test_answers_have_binances_texts(simulator: Simulator, name: str, status: int, text: str) -> None:
    """Status and text are those of Binance's documents and of reports."""
    simulator.inject(name)
    answer = change(simulator)
    assert isinstance(answer, tuple)
    assert answer[0] == status
    assert text in answer[1]["msg"]
    assert ("code" in answer[1]) == (name not in {"unknown_503", "unavailable_503", "internal_503"})


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("name", "status"), [("page_401", 401), ("firewall", 403), ("page_429", 429), ("page_451", 451), ("empty_418", 418)]
)
def test_an_intermediary_answers(simulator: Simulator, name: str, status: int, executed: bool) -> None:
    """A refusing status comes with a page or without a body, whether or not the change was executed."""
    simulator.inject(name, executed=executed)
    response = post_form(simulator)
    assert response.status_code == status
    assert "Retry-After" not in response.headers
    assert response.text.endswith("</html>") if name != "empty_418" else response.text == ""
    assert true_leverage(simulator) == (10 if executed else 50)


@pytest.mark.parametrize(
    ("name", "shown"), [("time_far_ahead", 10**17), ("time_far_back", -(10**17)), ("time_float", 1e30)]
)
def test_impossible_times(simulator: Simulator, name: str, shown: float) -> None:
    """GET /time answers an impossible time once."""
    simulator.inject(name)
    assert requests.get(simulator.rest_url + "/fapi/v1/time", timeout=30).json() == {"serverTime": shown}
    assert requests.get(simulator.rest_url + "/fapi/v1/time", timeout=30).json() != {"serverTime": shown}


@pytest.mark.parametrize(("name", "header"), [("rate_limited_for", "7"), ("banned", "7"), ("rate_limited", None)])
def test_retry_after(simulator: Simulator, name: str, header: str | None) -> None:
    """A 429 comes with and without Retry-After, a 418 with it."""
    simulator.inject(name, seconds=7)
    response = post_form(simulator)
    assert response.headers.get("Retry-After") == header


def test_every_kind_is_for_changes_or_reads() -> None:
    """Every kind is for changes, for reads or for both; a kind for reads alone has a default request of its own."""
    assert set(FOR_CHANGES) | set(FOR_READS) == set(KINDS)
    for name in set(FOR_READS) - set(FOR_CHANGES):
        assert KINDS[name].on != CHANGES
