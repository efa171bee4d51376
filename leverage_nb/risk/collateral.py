"""Multi-assets mode: the worth of all margin assets together, in USD.

Account equity is the sum of each asset's equity (wallet balance plus unrealised profit), a positive one at its bid
rate and a negative one at its ask rate. Available for orders is the account equity less the initial margin of all cross
positions and open orders, each at the ask rate of its asset.

Source, with a worked example:
https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-c983a9268cfa4e70a4916c276bb3b7bc
(documented). That Binance refuses a leverage (-2028) by this rule is inferred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AssetRate:
    """The USD rates of one margin asset (``GET /fapi/v1/assetIndex``): below and above its index by its buffers.

    Source:
    https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Multi-Assets-Mode-Asset-Index.
    """

    bid: float
    ask: float


def worth(amounts: Mapping[str, float], rates: Mapping[str, AssetRate]) -> float:
    """Return what amounts by asset are worth in USD, as equity counts; NaN if a rate that matters is unknown."""
    total = 0.0
    for asset, amount in amounts.items():
        if amount:
            rate = rates.get(asset)
            total += min(amount * rate.bid, amount * rate.ask) if rate else math.nan
    return total


def cost(amounts: Mapping[str, float], rates: Mapping[str, AssetRate]) -> float:
    """Return the USD value of margin by asset, at ask rates; NaN if a rate that matters is unknown."""
    return sum(
        (amount * rates[asset].ask if asset in rates else math.nan for asset, amount in amounts.items() if amount), 0.0
    )
