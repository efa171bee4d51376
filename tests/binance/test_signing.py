"""Signatures agree with Binance's example and with vectors computed by other programs."""

from __future__ import annotations

import pytest

from leverage_nb.binance.signing import append_hmac, encode

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
MOMENT = ("timestamp", 1591702613943)
OFFICIAL = [
    ("symbol", "BTCUSDT"), ("side", "BUY"), ("type", "LIMIT"), ("quantity", 1), ("price", 9000),
    ("timeInForce", "GTC"), ("recvWindow", 5000), MOMENT,
]  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "signature"),
    [
        (OFFICIAL, "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"),
        (
            [("symbol", "BTCUSDT"), ("leverage", 21), ("recvWindow", 5000), MOMENT],
            "a95877ac347e83cd7a57b9398b98523a574b7ce4aa552e5551a6fa3e02a24cfc",
        ),
        (
            [("symbol", "币安人生USDT"), ("leverage", 5), ("recvWindow", 5000), MOMENT],
            "012b10550f75595128eb7264ab11a2a064177a4669060f0f6eb3805469a1621c",
        ),
    ],
    ids=["official example", "leverage", "non-ASCII symbol"],
)
def test_hmac_vectors(parameters: list[tuple[str, str | int]], signature: str) -> None:
    """The HMAC signature equals that of each vector."""
    payload = encode(parameters)
    assert append_hmac(payload, SECRET) == f"{payload}&signature={signature}"


def test_non_ascii_symbols_are_percent_encoded_as_utf8() -> None:
    """Parameters are percent-encoded as UTF-8, in the given order, as they are signed and sent."""
    assert (
        encode([("symbol", "币安人生USDT"), ("leverage", 5)])
        == "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&leverage=5"
    )
