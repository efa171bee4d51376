"""Brackets: the tiers of one symbol and the figures they define. BracketTable: the tiers of every symbol.

A tier allows its ``initial_leverage`` and every lower leverage, for positions up to its ``notional_cap``. Binance
prints tiers as "floor < Position <= cap", so a notional exactly at a cap belongs to the lower tier. The max notional
at a leverage is the cap of the highest tier that still offers it, as in every reported ``maxNotionalValue``.

Sources:
https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Notional-and-Leverage-Brackets,
https://www.binance.com/en/support/faq/360033162192.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from leverage_nb.errors import InvalidInput, InvalidLeverage, NotionalBeyondTiers
from leverage_nb.risk.bracket_checks import COLUMNS, find_flaw
from leverage_nb.risk.user_input import is_number, normalize, parse_leverage, parse_notional

if TYPE_CHECKING:
    import pandas as pd

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Beyond: TypeAlias = Literal["raise", "nan"]

# What applies to a symbol whose leverage was never set: https://www.binance.com/en/support/faq/360033162192. That a
# lower maximum of the symbol limits it is inferred.
DEFAULT_LEVERAGE = 20


@dataclass(frozen=True, eq=False)
class Brackets:
    """The tiers of one symbol, lowest notional first. Notional figures are in the symbol's margin asset.

    Methods accept a scalar, a list, an ndarray or a Series, of numbers or of texts such as ``"2m"`` and ``"10x"``. They
    return a Python scalar for a scalar, a Series with the same index for a Series, and an array of the same shape
    otherwise. The sign of a notional is ignored.

    Attributes:
        symbol: Binance's symbol.
        initial_leverage: Highest leverage of each tier, descending; int64, shape (tiers,).
        notional_floor: Lower bound of each tier, exclusive; float64, shape (tiers,).
        notional_cap: Upper bound of each tier, inclusive; float64, shape (tiers,).
        maint_margin_ratio: Maintenance margin rate; float64, shape (tiers,).
        cum: Maintenance amount, which makes the maintenance margin continuous at the floors; float64, shape (tiers,).
        notional_coef: The account's own multiplier, if Binance sends one. Binance does not document whether floors,
            caps and ``cum`` already include it, so it is not applied here.
    """

    symbol: str
    initial_leverage: Ints
    notional_floor: Floats
    notional_cap: Floats
    maint_margin_ratio: Floats
    cum: Floats
    notional_coef: float | None = None

    def __len__(self) -> int:
        return len(self.initial_leverage)

    def __repr__(self) -> str:
        return f"Brackets({self.symbol}: {len(self)} tiers, up to {self.initial_leverage[0]}x)"

    @property
    def symbol_max_leverage(self) -> int:
        """The highest leverage of the symbol: that of its first tier."""
        return int(self.initial_leverage[0])

    @property
    def default_leverage(self) -> int:
        """The leverage that applies while none is set: 20x, or the symbol's maximum if that is lower."""
        return min(DEFAULT_LEVERAGE, self.symbol_max_leverage)

    @property
    def last_cap(self) -> float:
        """The largest notional that any leverage allows: the cap of the last tier."""
        return float(self.notional_cap[-1])

    def max_leverage(self, notional: Any = 0.0, *, beyond: Beyond = "raise") -> Any:
        """Return the highest initial leverage that allows a position of this notional.

        Args:
            notional: In the margin asset.
            beyond: "raise", or "nan" to return NaN for a notional above the last cap.

        Returns:
            int64; float64 if ``beyond="nan"`` and a notional is above the last cap.

        Raises:
            NotionalBeyondTiers: A notional is above the last cap, infinite or NaN.
            InvalidInput: ``notional`` is not numeric, or ``beyond`` is neither "raise" nor "nan".
        """
        tier, outside = self._locate(notional, beyond)
        return _as_given(notional, _blank(self.initial_leverage[tier], outside))

    def max_notional(self, leverage: Any) -> Any:
        """Return the largest position that this initial leverage allows, in the margin asset.

        Args:
            leverage: A whole number from 1 to the symbol's maximum.

        Returns:
            float64.

        Raises:
            InvalidLeverage: A leverage is not such a number.
            InvalidInput: ``leverage`` is not an array of numbers.
        """
        highest = self.symbol_max_leverage
        leverages = _as_floats(leverage, "leverage", lambda one: parse_leverage(one, self.symbol, highest))
        wrong = ~((leverages >= 1) & (leverages <= highest) & (leverages == np.floor(leverages)))
        if wrong.any():
            first = leverages[wrong].flat[0] if leverages.ndim else leverages[()]
            whole = np.isfinite(first) and first == np.floor(first)
            raise InvalidLeverage(int(first) if whole else float(first), self.symbol, highest)
        # Leverage falls from tier to tier: count the tiers that offer at least this leverage.
        offering = np.searchsorted(-self.initial_leverage, -leverages, side="right")
        return _as_given(leverage, self.notional_cap[offering - 1])

    def maintenance_margin(self, notional: Any, *, beyond: Beyond = "raise") -> Any:
        """Return the maintenance margin of a position of this notional: ``|notional| x rate - cum``.

        Args:
            notional: At mark price, in the margin asset.
            beyond: "raise", or "nan" to return NaN for a notional above the last cap.

        Returns:
            float64, in the margin asset.

        Raises:
            NotionalBeyondTiers: A notional is above the last cap, infinite or NaN.
            InvalidInput: ``notional`` is not numeric, or ``beyond`` is neither "raise" nor "nan".
        """
        tier, outside = self._locate(notional, beyond)
        size = np.abs(_as_floats(notional, "notional", parse_notional))
        with np.errstate(invalid="ignore"):  # infinity times a rate: blanked on the next line
            margin = size * self.maint_margin_ratio[tier] - self.cum[tier]
        return _as_given(notional, _blank(margin, outside))

    def to_frame(self) -> pd.DataFrame:
        """Return the tiers as a DataFrame: index ``bracket`` from 1, columns as the attributes."""
        return BracketTable({self.symbol: self}).to_frame().droplevel("symbol")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, symbol: str | None = None) -> Brackets:
        """Build the tiers of one symbol from a DataFrame such as :meth:`to_frame` or ``Account.brackets`` returns.

        Args:
            frame: Rows of one symbol, or of several symbols in an index level ``symbol``.
            symbol: The symbol; required if the frame has several.

        Returns:
            The tiers, without ``notional_coef``, which frames do not contain.

        Raises:
            InvalidInput: A column is missing or not numeric, the symbol is missing or ambiguous, or the rows are not a
                valid set of tiers.
        """
        absent = [name for name in COLUMNS if name not in frame.columns]
        if absent:
            raise InvalidInput(f"The frame has no column {', '.join(absent)}.")
        name = symbol or str(frame.attrs.get("symbol", ""))
        listed = frame.index.unique("symbol") if "symbol" in frame.index.names else [frame.attrs.get("symbol")]
        if symbol is not None and symbol not in listed:
            symbol = name = normalize(symbol)
        if "symbol" in frame.index.names:
            symbols = frame.index.unique("symbol")
            if symbol is None and len(symbols) != 1:
                raise InvalidInput(f"The frame has {len(symbols)} symbols.", hint="Name one: symbol=...")
            name = symbol or str(symbols[0])
            if name not in symbols:
                raise InvalidInput(f"The frame has no rows of {name}.")
            frame = frame.loc[[name]]
        elif symbol is not None and frame.attrs.get("symbol", symbol) != symbol:
            raise InvalidInput(f"The frame has rows of {frame.attrs['symbol']}, not of {symbol}.")
        rows = sort_rows(zip(*(_as_floats(frame[column], column, float).tolist() for column in COLUMNS), strict=True))
        reason = find_flaw(rows)
        if reason:
            raise InvalidInput(f"These rows are not the tiers of a symbol: {reason}.")
        return cls.from_rows(name, rows)

    @classmethod
    def from_rows(cls, symbol: str, rows: Sequence[Sequence[float]], notional_coef: float | None = None) -> Brackets:
        """Build the tiers from checked rows, sorted by floor, with figures in the order of ``COLUMNS``."""
        leverage, floor, cap, rate, cum = np.array(rows, np.float64).T.copy()
        whole = leverage.astype(np.int64)
        for column in (whole, floor, cap, rate, cum):
            column.setflags(write=False)  # the cache and every preview share them
        return cls(symbol, whole, floor, cap, rate, cum, notional_coef)

    def _locate(self, notional: Any, beyond: Beyond) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        if beyond not in {"raise", "nan"}:
            raise InvalidInput(f'beyond is "raise" or "nan"; got {beyond!r}.')
        size = np.abs(_as_floats(notional, "notional", parse_notional))
        outside = ~(size <= self.notional_cap[-1])  # true for NaN too
        if beyond == "raise" and outside.any():
            first = size[outside].flat[0] if size.ndim else size[()]
            raise NotionalBeyondTiers(float(first), self.last_cap, self.symbol)
        tier = np.searchsorted(self.notional_cap, size, side="left")
        return np.minimum(tier, len(self) - 1), outside


@dataclass(frozen=True, eq=False)
class BracketTable(Mapping[str, Brackets]):
    """The tiers of every symbol: a mapping from symbol to :class:`Brackets`, in the exchange's order.

    Attributes:
        tiers: The tiers by symbol.
        skipped: Symbols whose rows cannot be used, and why.
    """

    tiers: Mapping[str, Brackets]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, symbol: str) -> Brackets:
        return self.tiers[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tiers)

    def __len__(self) -> int:
        return len(self.tiers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that have tiers."""
        return tuple(self.tiers)

    def to_frame(self) -> pd.DataFrame:
        """Return all tiers as a DataFrame: index ``(symbol, bracket)``, columns as the attributes of :class:`Brackets`.

        Returns:
            ``initial_leverage`` int64, the other columns float64. ``frame.attrs["skipped"]`` has the symbols that were
            skipped, with reasons.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame

        counts = np.array([len(one) for one in self.values()], np.int64)
        starts = np.cumsum(counts) - counts
        index = pd.MultiIndex(
            levels=[list(self.symbols), list(range(1, max(map(len, self.values()), default=0) + 1))],
            codes=[
                np.repeat(np.arange(len(counts)), counts),  # type: ignore[list-item]  # arrays are accepted
                np.arange(counts.sum()) - np.repeat(starts, counts),  # type: ignore[list-item]
            ],
            names=["symbol", "bracket"],
            verify_integrity=False,  # valid by construction; the check costs more than the rest
        )
        columns = {name: np.concatenate([getattr(one, name) for one in self.values()] or [()]) for name in COLUMNS}
        frame = LeverageFrame(columns, index=index).astype({"initial_leverage": np.int64})  # also without rows
        frame.attrs["skipped"] = dict(self.skipped)
        return frame


def sort_rows(rows: Iterable[Sequence[float]]) -> list[Sequence[float]]:
    """Sort rows by notional floor."""
    return sorted(rows, key=itemgetter(COLUMNS.index("notional_floor")))


def _as_floats(values: Any, kind: str, parse: Callable[[Any], float]) -> Floats:
    """Convert a number, a text, or an array of them to float64; ``parse`` reads texts, and refuses other objects."""
    if np.ndim(values) == 0 and not isinstance(values, np.ndarray) and not is_number(values):
        return np.asarray(parse(values), np.float64)
    try:
        array = np.asarray(values)
        if array.dtype.kind in "UO":
            parsed = [parse(one) if isinstance(one, str) else one for one in array.ravel().tolist()]
            array = np.array(parsed, np.float64).reshape(array.shape)
        return array.astype(np.float64)
    except InvalidInput:
        raise
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidInput(f"A {kind} is a number, or an array of numbers.")


def _blank(values: npt.NDArray[Any], outside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return np.where(outside, np.nan, values) if outside.any() else np.asarray(values)


def _as_given(given: Any, values: npt.NDArray[Any]) -> Any:
    """Convert ``values`` to the type of ``given``: a Python scalar, a Series or an array."""
    if values.ndim == 0:
        return values.item()
    if hasattr(given, "to_numpy") and hasattr(given, "index"):  # a pandas Series, without importing pandas
        return type(given)(values, index=given.index)
    return values
