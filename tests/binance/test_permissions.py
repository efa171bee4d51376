"""Warnings about what a key may do beyond changing leverage."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.permissions import find_risks
from leverage_nb.binance.signing import append_hmac
from leverage_nb.binance.venues import VENUES
from tests.binance.wire import response, serving

SECRET = "s" * 64
# The example of Binance's page on the endpoint, and what the page says of two of its fields.
DOCUMENTED = (
    b'{"ipRestrict":false,"createTime":1698645219000,"enableReading":true,"enableWithdrawals":false,'
    b'"enableInternalTransfer":false,"enableMargin":false,"enableFutures":false,"permitsUniversalTransfer":false,'
    b'"enableVanillaOptions":false,"enableFixApiTrade":false,"enableFixReadOnly":true,'
    b'"enableSpotAndMarginTrading":false,"enablePortfolioMarginTrading":true}'
)


def client_with(wallet_url: str, **options: Any) -> RestClient:
    """A mainnet client whose wallet API is at another address."""
    return RestClient(replace(VENUES["mainnet"], wallet_url=wallet_url), Credentials("k" * 64, SECRET), **options)


def risks_of(body: bytes, status: str = "200 OK") -> str:
    """Return the risks that an answer shows."""
    with serving(response(body, status)) as wire:
        return " ".join(find_risks(client_with(wire.url)))


def test_the_request_is_signed_and_sent_once() -> None:
    """One signed GET request with the key in its header goes to the wallet's address."""
    with serving(response(DOCUMENTED)) as wire:
        find_risks(client_with(wire.url))
    [request] = wire.received
    head = request.decode().splitlines()
    method, target, _ = head[0].split()
    path, _, query = target.partition("?")
    payload = query.partition("&signature=")[0]
    assert (method, path) == ("GET", "/sapi/v1/account/apiRestrictions")
    assert append_hmac(payload, SECRET) == query
    assert set(parse_qs(payload)) == {"recvWindow", "timestamp"}
    assert f"X-MBX-APIKEY: {'k' * 64}" in head


@pytest.mark.parametrize(
    ("body", "withdraws", "unrestricted"),
    [
        (DOCUMENTED, False, True),
        (DOCUMENTED.replace(b'"ipRestrict":false', b'"ipRestrict":true'), False, False),
        (b'{"ipRestrict":true,"enableWithdrawals":true}', True, False),
        (b'{"ipRestrict":"false","enableWithdrawals":"true","new":[1]}', True, True),
        (b"{}", False, False),
    ],
)
def test_what_is_a_risk(body: bytes, withdraws: bool, unrestricted: bool) -> None:
    """The right to withdraw and the absence of an IP list are named; a field that is missing proves nothing."""
    risks = risks_of(body)
    assert ("may withdraw funds" in risks) is withdraws
    assert ("works from every IP address" in risks) is unrestricted
    assert "k" * 64 not in risks


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", "200 OK"), (b"", "200 OK"), (b"null", "200 OK"), (b"[]", "200 OK"),
        (b'{"enableWithdrawals":"perhaps"}', "200 OK"), (b'{"code":-2015,"msg":"Invalid API-key"}', "401 Unauthorized"),
        (b'{"code":-1021,"msg":"Timestamp"}', "400 Bad Request"), (DOCUMENTED, "502 Bad Gateway"),
        (b'{"code":-1003,"enableWithdrawals":true}', "200 OK"), (DOCUMENTED, "429 Too Many Requests"),
    ],
)  # fmt: skip
def test_an_unusable_answer_is_no_warning(body: bytes, status: str) -> None:
    """An answer that is not what Binance documents shows no risk and raises nothing."""
    assert risks_of(body, status) == ""


def test_the_wait_is_bounded() -> None:
    """A wallet API that does not answer, or is not there, costs at most the time that was allowed."""
    with serving(response(DOCUMENTED), pause=5) as wire:
        started = time.monotonic()
        assert find_risks(client_with(wire.url), patience=0.3) == []
        assert time.monotonic() - started < 1
    assert find_risks(client_with(wire.url), patience=0.3) == []


@pytest.mark.parametrize("name", ["simulator", "testnet"])
def test_only_mainnet_keys_are_asked_about(name: str) -> None:
    """The testnet has no such endpoint, and a gateway must not be bypassed."""
    with serving(response(DOCUMENTED)) as wire:
        venue = VENUES[name] if name == "testnet" else VENUES[name].at(wire.url)
        for other in (venue, VENUES["mainnet"].at(wire.url), VENUES["mainnet"].at("https://gateway.example")):
            assert find_risks(RestClient(other, Credentials("k" * 64, SECRET))) == []
        assert wire.received == []
    assert VENUES["mainnet"].at("https://fapi.binance.com").wallet_url == "https://api.binance.com"
