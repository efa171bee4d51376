"""Isolated positions with the liquidation prices that Binance answered: rows of ``GET /fapi/v2/positionRisk``.

Given are the position's figures and the price. Not in the rows, and derived:

* the tiers of the time: the first tier of BTCUSDT has 0.4 % in every published table; in 2020, tier 2 was 50,000 to
  250,000 at 0.5 %, with cum 50 (Binance's FAQ on leverage and margin calculates with these figures). The rate of
  DOGEUSDT in 2024, 0.5 %, is the only round rate that gives the price.
* of the documented example: the wallet (the margin less the profit), and the entry price of the short (the mark price
  less the profit per coin), which the page prints as 0.00000.

Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Position-Information-V2
(the two of 2020); https://www.binance.com/en/support/faq/360033162192; rows that users published with their programs,
found by their figures (certainty of these: reported).
"""

from __future__ import annotations

from dataclasses import dataclass

# Highest leverage (of no account here), floor, cap, rate, cum.
BTC_SINCE_2021 = ((125, 0, 50_000, 0.004, 0),)
BTC_2020 = ((125, 0, 50_000, 0.004, 0), (100, 50_000, 250_000, 0.005, 50), (50, 250_000, 1_000_000, 0.01, 1_300))
DOGE_2024 = ((50, 0, 5_000, 0.005, 0),)


@dataclass(frozen=True)
class RealPosition:
    """A position as Binance answered it, with the tiers of its time."""

    symbol: str
    amount: str
    entry_price: str
    isolated_wallet: str
    liquidation_price: str
    mark_price: str
    tiers: tuple[tuple[float, ...], ...]

    def __str__(self) -> str:
        return f"{self.symbol} {self.amount}"


POSITIONS = (
    RealPosition("DOGEUSDT", "-32", "0.16395", "0.88304001", "0.19059204", "0.16465933", DOGE_2024),
    RealPosition("BTCUSDT", "-0.002", "66351.2", "13.21988880", "72670.46254980", "66351.1", BTC_SINCE_2021),
    RealPosition("BTCUSDT", "0.010", "56791.66666", "27.75053162", "54233.54768876", "57214.41443521", BTC_SINCE_2021),
    # 15,517.54150468 - 2,316.83423560
    RealPosition("BTCUSDT", "20", "6563.66500", "13200.70726908", "5930.78", "6679.50671178", BTC_2020),
    # 5,413.95799991 + 1,156.46711780; 6,679.50671178 - 1,156.46711780 / 10
    RealPosition("BTCUSDT", "-10", "6563.86", "6570.42511771", "7189.95", "6679.50671178", BTC_2020),
)
