"""Brackets: one symbol's tiers and the questions they answer; BracketTable: those of every symbol.

A tier allows its ``initial_leverage`` and less for positions up to its ``notional_cap``. Binance prints the
tiers as "floor < Position <= cap", so a notional exactly at a cap belongs to the lower tier.

Source of the rules: ``GET /fapi/v1/leverageBracket`` and Binance's FAQ "Leverage and Margin of USDⓈ-M
Futures"; maximum notional at a leverage is the cap of the highest tier that still offers it, which agrees
with every ``maxNotionalValue`` seen on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from leverage_nb.errors import InvalidInput, InvalidLeverage, NotionalBeyondTiers
from leverage_nb.risk.bracket_checks import COLUMNS, Floats, Ints, find_flaw

if TYPE_CHECKING:
    import pandas as pd

Beyond: TypeAlias = Literal["raise", "nan"]


@dataclass(frozen=True, eq=False)
class Brackets:
    """One symbol's tiers, lowest notional first. Notional figures are in the symbol's margin asset.

    Every question takes a number or an array (list, ndarray, Series) and answers in kind: a scalar for a
    scalar, an array of the same shape otherwise, a Series with the same index for a Series. The sign of a
    notional is ignored: a short is as large as a long.

    Attributes:
        symbol: Binance's symbol.
        initial_leverage: Highest leverage each tier offers, falling; int64, shape (tiers,).
        notional_floor: Where each tier begins, exclusive; float64, shape (tiers,).
        notional_cap: Where each tier ends, inclusive; float64, shape (tiers,).
        maint_margin_ratio: Maintenance margin rate; float64, shape (tiers,).
        cum: Maintenance amount that makes the margin continuous at the floors; float64, shape (tiers,).
        notional_coef: The account's own multiplier where Binance sends one. Whether floors, caps and ``cum``
            already contain it is not documented, so nothing is multiplied here.
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
        """The most the symbol allows at any size: the first tier's leverage."""
        return int(self.initial_leverage[0])

    @property
    def last_cap(self) -> float:
        """The largest notional any leverage allows: the last tier's cap."""
        return float(self.notional_cap[-1])

    def max_leverage(self, notional: Any = 0.0, *, beyond: Beyond = "raise") -> Any:
        """The highest initial leverage that still allows a position of this notional.

        Args:
            notional: In the margin asset.
            beyond: What to do above the last cap: "raise", or "nan" to answer NaN there.

        Returns:
            int64; float64 with NaN where ``beyond="nan"`` was needed.

        Raises:
            NotionalBeyondTiers: A notional lies above the last cap, is infinite or NaN.
            InvalidInput: It is no number; ``beyond`` is neither.
        """
        tier, outside = self._locate(notional, beyond)
        return _in_kind(notional, _blank(self.initial_leverage[tier], outside))

    def max_notional(self, leverage: Any) -> Any:
        """The largest position allowed at this initial leverage, in the margin asset.

        Args:
            leverage: A whole number from 1 to the symbol's maximum.

        Returns:
            float64.

        Raises:
            InvalidLeverage: Any of them is not such a number.
            InvalidInput: It is no number at all.
        """
        asked = _as_floats(leverage, "leverage")
        wrong = ~((asked >= 1) & (asked <= self.symbol_max_leverage) & (asked == np.floor(asked)))
        if wrong.any():
            first = asked[wrong].flat[0] if asked.ndim else asked[()]
            whole = np.isfinite(first) and first == np.floor(first)
            raise InvalidLeverage(int(first) if whole else float(first), self.symbol, self.symbol_max_leverage)
        # Leverages fall from tier to tier: count the tiers that still offer what is asked.
        offering = np.searchsorted(-self.initial_leverage, -asked, side="right")
        return _in_kind(leverage, self.notional_cap[offering - 1])

    def maintenance_margin(self, notional: Any, *, beyond: Beyond = "raise") -> Any:
        """Maintenance margin of a position of this notional at mark: ``notional x rate - cum``.

        Args:
            notional: At mark price, in the margin asset.
            beyond: What to do above the last cap: "raise", or "nan" to answer NaN there.

        Returns:
            float64, in the margin asset.

        Raises:
            NotionalBeyondTiers: A notional lies above the last cap, is infinite or NaN.
        """
        tier, outside = self._locate(notional, beyond)
        size = np.abs(np.asarray(notional, dtype=np.float64))
        with np.errstate(invalid="ignore"):  # infinity times a rate, blanked on the next line
            margin = size * self.maint_margin_ratio[tier] - self.cum[tier]
        return _in_kind(notional, _blank(margin, outside))

    def to_frame(self) -> pd.DataFrame:
        """The tiers as a DataFrame: index ``bracket`` from 1, columns as the attributes."""
        return BracketTable.of([self]).to_frame().droplevel("symbol")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, symbol: str | None = None) -> Brackets:
        """Build from a DataFrame such as :meth:`to_frame` or ``Account.brackets`` gives.

        Args:
            frame: One symbol's rows, or several symbols' with a ``symbol`` index level.
            symbol: Which one to take; needed where the frame holds several.

        Returns:
            The tiers, without ``notional_coef``, which no frame holds.

        Raises:
            InvalidInput: Columns are missing or not numeric, the symbol is not in the frame or not named, or the rows
                are not the tiers of a symbol.
        """
        absent = [name for name in COLUMNS if name not in frame.columns]
        if absent:
            raise InvalidInput(f"The frame has no column {', '.join(absent)}.")
        name = symbol or str(frame.attrs.get("symbol", ""))
        if "symbol" in frame.index.names:
            held = frame.index.unique("symbol")
            if symbol is None and len(held) != 1:
                raise InvalidInput(f"The frame holds {len(held)} symbols.", hint="Name one: symbol=...")
            name = symbol or str(held[0])
            if name not in held:
                raise InvalidInput(f"The frame holds no {name}.")
            frame = frame.loc[[name]]
        elif symbol is not None and frame.attrs.get("symbol", symbol) != symbol:
            raise InvalidInput(f"The frame holds {frame.attrs['symbol']}, not {symbol}.")
        figures = {column: _as_floats(frame[column], column) for column in COLUMNS}
        in_order = np.argsort(figures["notional_floor"], kind="stable")
        figures = {column: values[in_order] for column, values in figures.items()}
        reason = find_flaw(figures)
        if reason:
            raise InvalidInput(f"These rows are not the tiers of a symbol: {reason}.")
        return cls._of(name, figures)

    @classmethod
    def _of(cls, symbol: str, figures: Mapping[str, Floats], notional_coef: float | None = None) -> Brackets:
        return cls(
            symbol,
            figures["initial_leverage"].astype(np.int64),
            figures["notional_floor"],
            figures["notional_cap"],
            figures["maint_margin_ratio"],
            figures["cum"],
            notional_coef,
        )

    def _locate(self, notional: Any, beyond: Beyond) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        if beyond not in {"raise", "nan"}:
            raise InvalidInput(f'beyond is "raise" or "nan"; got {beyond!r}.')
        size = np.abs(_as_floats(notional, "notional"))
        outside = ~(size <= self.notional_cap[-1])  # NaN lies outside too
        if beyond == "raise" and outside.any():
            first = size[outside].flat[0] if size.ndim else size[()]
            raise NotionalBeyondTiers(float(first), self.last_cap, self.symbol)
        tier = np.searchsorted(self.notional_cap, size, side="left")
        return np.minimum(tier, len(self) - 1), outside


@dataclass(frozen=True, eq=False)
class BracketTable(Mapping[str, Brackets]):
    """Every symbol's tiers in one flat table: a mapping from symbol to :class:`Brackets`.

    Attributes:
        symbols: Symbols in the table, in the exchange's order.
        start: Where each symbol's rows begin, and one past the last; int64, shape (symbols + 1,).
        figures: The flat columns, float64, each of shape (rows,), by the names in ``COLUMNS``.
        coefs: ``notional_coef`` of the symbols that have one.
        skipped: Symbols whose rows could not be used, and why.
    """

    symbols: tuple[str, ...]
    start: Ints
    figures: Mapping[str, Floats]
    coefs: Mapping[str, float]
    skipped: Mapping[str, str]

    def __post_init__(self) -> None:
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        object.__setattr__(self, "_places", places)

    def __getitem__(self, symbol: str) -> Brackets:
        places: dict[str, int] = self._places  # type: ignore[attr-defined]  # set above, on a frozen instance
        place = places[symbol]
        rows = slice(self.start[place], self.start[place + 1])
        figures = {name: column[rows] for name, column in self.figures.items()}
        return Brackets._of(symbol, figures, self.coefs.get(symbol))

    def __iter__(self) -> Any:
        return iter(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def to_frame(self) -> pd.DataFrame:
        """All tiers as a DataFrame: index ``(symbol, bracket)``, columns as in :class:`Brackets`.

        Returns:
            ``initial_leverage`` int64, the rest float64. Symbols that were skipped are in
            ``frame.attrs["skipped"]``, each with its reason.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame

        counts = np.diff(self.start)
        number = np.arange(self.start[-1]) - np.repeat(self.start[:-1], counts)
        index = pd.MultiIndex(
            levels=[list(self.symbols), list(range(1, int(counts.max(initial=0)) + 1))],
            codes=[np.repeat(np.arange(len(counts)), counts), number],  # type: ignore[list-item]  # arrays do
            names=["symbol", "bracket"],
            verify_integrity=False,  # built right by construction, and checking costs more than building
        )
        frame = LeverageFrame(dict(self.figures), index=index).astype({"initial_leverage": np.int64})
        frame.attrs["skipped"] = dict(self.skipped)
        return frame

    @classmethod
    def of(cls, brackets: Sequence[Brackets]) -> BracketTable:
        """Put single symbols' tiers together."""
        figures = {
            name: np.concatenate([getattr(one, name) for one in brackets]).astype(np.float64) for name in COLUMNS
        }
        return cls(
            symbols=tuple(one.symbol for one in brackets),
            start=np.concatenate([[0], np.cumsum([len(one) for one in brackets])]).astype(np.int64),
            figures=figures,
            coefs={one.symbol: one.notional_coef for one in brackets if one.notional_coef is not None},
            skipped={},
        )


def _as_floats(values: Any, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidInput(f"A {name} is a number, or an array of numbers.")


def _blank(values: npt.NDArray[Any], outside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return np.where(outside, np.nan, values) if outside.any() else np.asarray(values)


def _in_kind(asked: Any, answer: npt.NDArray[Any]) -> Any:
    """Give ``answer`` the form of what was asked: a Python scalar, a Series, or an array."""
    if answer.ndim == 0:
        return answer.item()
    if hasattr(asked, "to_numpy") and hasattr(asked, "index"):  # a pandas Series, without importing pandas
        return type(asked)(answer, index=asked.index)
    return answer
