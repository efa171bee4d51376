"""One table: each error code, what it means, what to do, whether the request may have been executed.

Source: Binance's error-code page for USDⓈ-M Futures; -2008 and -4300 are not on it and come from public
reports. Meanings and advice are ours. ``executed`` is "no" where the code says that the request was turned
away, "unknown" where Binance says or its wording implies that it may have been carried out.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from leverage_nb.binance.http import Answer
from leverage_nb.binance.messages import ErrorBody, describe
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import LeverageError, RateLimited, RequestRefused, UnexpectedAnswer
from leverage_nb.formatting import moment


@dataclass(frozen=True)
class Refusal:
    """What we know of one code.

    Attributes:
        meaning: In plain words; "" where Binance's own words say it all.
        advice: What to do next.
        executed: Whether the request may have been carried out.
    """

    meaning: str
    advice: str
    executed: Literal["no", "unknown"] = "no"


_LOOK = "Look at the setting before trying again."
_KEYS = (
    "Usual causes: a key of another venue (testnet keys open nothing on mainnet, nor the reverse), an IP address that "
    "is not on the key's list, or Futures not enabled for the key. A Portfolio Margin account cannot use this API."
)
_REPORT = "This is a slip in leverage_nb or in a gateway in between: please report it."
_SUPPORT = "Only Binance can lift this: see the account's notices or ask its support."

CODES: dict[int, Refusal] = {
    -1000: Refusal("An internal error; the request may have been carried out.", _LOOK, "unknown"),
    -1001: Refusal("An internal error; the request may have been carried out.", _LOOK, "unknown"),
    -1002: Refusal("The key may not do this.", _KEYS),
    -1003: Refusal("Too many requests from this address.", "Wait; other programs here count too."),
    -1006: Refusal("The request may have been carried out.", _LOOK, "unknown"),
    -1007: Refusal("The request may have been carried out.", _LOOK, "unknown"),
    -1008: Refusal("The exchange is overloaded; the request was not carried out.", "Try again in a moment."),
    -1010: Refusal("", _REPORT),
    -1011: Refusal("This address may not use this route.", _KEYS),
    -1013: Refusal("", _REPORT),
    -1015: Refusal("Too many orders.", "Wait a moment."),
    -1016: Refusal("The service is shutting down; the request may have been carried out.", _LOOK, "unknown"),
    -1020: Refusal("The operation is not supported.", _REPORT),
    -1021: Refusal(
        "The request's time differs from the exchange's by more than recvWindow allows.",
        "Try again; if it persists, set this machine's clock.",
    ),
    -1022: Refusal("The signature does not fit the key.", "Check the API secret: copy key and secret again."),
    -1099: Refusal("Not found, or not authorised.", _KEYS),
    -1100: Refusal("A parameter holds characters that are not allowed.", _REPORT),
    -1101: Refusal("Too many parameters.", _REPORT),
    -1102: Refusal("A parameter is missing or mangled.", _REPORT),
    -1103: Refusal("An unknown parameter.", _REPORT),
    -1104: Refusal("A parameter was not read.", _REPORT),
    -1105: Refusal("A parameter is empty.", _REPORT),
    -1106: Refusal("A parameter is not wanted.", _REPORT),
    -1108: Refusal("The asset is not valid.", _REPORT),
    -1109: Refusal("There is no such futures account.", "Open the Futures account on Binance first."),
    -1110: Refusal("The instrument type is not valid.", _REPORT),
    -1111: Refusal("Too many decimal places.", _REPORT),
    -1121: Refusal("The exchange lists no such symbol.", "Check the spelling, and whether it is listed yet."),
    -1122: Refusal("The symbol is not trading: not yet, or no longer.", "Try again once it trades."),
    -1125: Refusal("The listen key has expired.", "A new one is made on the next connection."),
    -1126: Refusal("The asset is not supported.", _REPORT),
    -1127: Refusal("The period is too long.", _REPORT),
    -1128: Refusal("These parameters do not go together.", _REPORT),
    -1130: Refusal("A parameter is not valid.", _REPORT),
    -2008: Refusal("The exchange does not know this API key.", _KEYS),
    -2014: Refusal("The API key does not have the form of one.", "Copy the key again, whole."),
    -2015: Refusal("The API key was turned away.", _KEYS),
    -2017: Refusal("The account's API keys are locked.", _SUPPORT),
    -2018: Refusal("The balance does not suffice.", "Add margin or reduce positions."),
    -2019: Refusal("The margin does not suffice.", "Add margin or reduce positions."),
    -2023: Refusal("The account is being liquidated.", "Wait until the liquidation is over."),
    -2027: Refusal(
        "What is held, with open orders, is larger than the new leverage allows.",
        "Choose a lower leverage, or reduce the position or its orders first.",
    ),
    -2028: Refusal(
        "Lower leverage ties up more margin, and the available balance does not cover it.",
        "Choose a higher leverage, add margin, or reduce positions.",
    ),
    -4027: Refusal("The account type does not allow this.", _SUPPORT),
    -4028: Refusal("The leverage is outside what the symbol allows.", "See the symbol's tiers for its maximum."),
    # -4050 and -4051 on a change of leverage are not documented; they belong to isolated margin.
    -4050: Refusal("The cross balance does not suffice.", "Add margin or reduce positions."),
    -4051: Refusal("The isolated balance does not suffice.", "Add margin to the position, or reduce it."),
    -4084: Refusal("Not allowed yet.", "Try again later."),
    -4085: Refusal("The account's notional multiplier is not valid.", _SUPPORT),
    -4087: Refusal("The account may only reduce positions.", _SUPPORT),
    -4088: Refusal("The account may not place orders.", _SUPPORT),
    -4109: Refusal("The futures account is inactive.", "Transfer any amount to the Futures wallet first."),
    -4140: Refusal("The symbol does not allow opening positions now.", "Try again once it trades."),
    -4141: Refusal("The symbol is closed.", "It no longer trades."),
    -4144: Refusal("The pair is not valid.", _REPORT),
    -4161: Refusal(
        "With an open isolated position, leverage can only be raised.",
        "Close the position first, or add margin to it instead.",
    ),
    -4189: Refusal("The account may only reduce positions.", _SUPPORT),
    -4192: Refusal("The account is in its cooling-off period.", "Wait until the period ends."),
    -4202: Refusal("Above 20x needs Intermediate Personal Verification.", "Verify at Binance, or stay at 20x."),
    -4203: Refusal("Above 20x is open one month after registration.", "Stay at 20x or below until then."),
    -4205: Refusal("Above 20x is open some days after registration.", "Stay at 20x or below until then."),
    -4206: Refusal("Your region's maximum leverage is lower.", "Stay at or below the maximum named."),
    -4208: Refusal("The position-limit service keeps this symbol at 20x or below.", "Stay at 20x or below."),
    -4209: Refusal("The symbol's maximum for this account is lower.", "Stay at or below the maximum named."),
    -4300: Refusal("The account is too young for more than 20x.", "Stay at 20x or below until the time named."),
    -4400: Refusal("A trading rule locks the symbol: only reducing orders pass.", "Wait until the lock lifts."),
    -4401: Refusal("A rule on large positions of this symbol stands against it.", "Reduce the position first."),
    -4402: Refusal("The symbol is not available in your region.", _SUPPORT),
    -4403: Refusal("Your region's maximum leverage is lower.", "Stay at or below the maximum named."),
    -5000: Refusal("The endpoint is not known at this address.", "Check rest_url; the API may have moved."),
}

# What statuses mean where no code comes with them. They say nothing about whether the request was executed.
STATUSES: dict[int, Refusal] = {
    401: Refusal("The API key was turned away.", _KEYS),
    403: Refusal("A firewall at the exchange turned the request away.", "Slow down, and try again later."),
    418: Refusal("This address is banned for a while for sending too much.", "Stop sending until it lifts."),
    429: Refusal("Too many requests from this address.", "Wait; other programs here count too."),
    451: Refusal(
        "Binance does not serve this machine's location.",
        "Cloud notebooks often run in such a location; a gateway elsewhere can be named with rest_url.",
    ),
}

# What -2015 means where the same key opens Binance's other API, for Portfolio Margin.
PORTFOLIO_MARGIN = Refusal(
    "This is a Portfolio Margin account: it is served by another API (papi), and this one turns its keys away.",
    "Change its leverage at Binance, or use a key of an account without Portfolio Margin here.",
)

# The two 503 bodies that Binance documents as definite failures. The third leaves the outcome open.
_DEFINITE_503 = ("service unavailable.", "internal error; unable to process your request. please try again.")


_LIFTS = re.compile(r"by ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}) \(UTC\)")
_ADDRESS = re.compile(r"request ip: ([0-9a-fA-F.:]{1,45})")


def read_lift_time(words: str) -> datetime | None:
    """When a limit lifts, in local time, where the exchange's words name it: "by 2026-10-29 01:34 (UTC)".

    None where they name none, and where it is no time, as "2026-13-01 00:00": words of others never raise.
    """
    named = _LIFTS.search(words)
    if named is not None:
        with suppress(ValueError, OverflowError, OSError):  # at the ends of the calendar a local time may not exist
            return datetime.fromisoformat(named[1]).replace(tzinfo=UTC).astimezone()
    return None


def _advice(refusal: Refusal | None, words: str) -> str:
    """The next step, with the time or address that the exchange's own words name."""
    advice = refusal.advice if refusal else ""
    lifts, address = read_lift_time(words), _ADDRESS.search(words)
    if lifts is not None:
        advice += f" It lifts on {moment(lifts)}, local time."
    if address is not None:
        advice += f" The exchange saw the request come from {address[1]}."
    return advice.strip()


def read_error(answer: Answer) -> ErrorBody | None:
    """The code and words of an answer, where it carries any; code 0 where it names none."""
    try:
        error = msgspec.json.decode(answer.body, type=ErrorBody, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if abs(error.code) >= 1_000_000:
        error = ErrorBody(msg=error.msg)  # Binance's codes have up to five digits
    return error if error.msg or error.code else None  # an object with neither is no error


def find_refusal(answer: Answer) -> Refusal | None:
    """The entry for an answer; None where the tables know none."""
    error = read_error(answer)
    if error is not None and error.code < 0:
        return CODES.get(error.code)
    return STATUSES.get(answer.status)


def is_definite(answer: Answer) -> bool:
    """Whether an answer other than a success says for certain that the exchange did not execute the request.

    Only Binance's own words count: its JSON error with a 4xx status and a code that is listed as not executed, or one
    of the two 503 bodies that it documents. A status alone may come from a proxy or a firewall after the exchange has
    executed the request, and so may a 5xx with a code.
    """
    error = read_error(answer)
    if error is None:
        return False
    if answer.status == 503:
        return error.code == 0 and error.msg.strip().lower() in _DEFINITE_503
    if not 400 <= answer.status < 500 or answer.status == 408:
        return False
    if error.code == -4028 and "already exist" in error.msg:
        return False  # says that the leverage is there already: only a read can tell
    refusal = CODES.get(error.code) if error.code < 0 else None
    return refusal is not None and refusal.executed == "no"


def may_be_repeated(answer: Answer) -> bool:
    """Whether a definite refusal passes by itself: a clock that differs, or an overload."""
    error = read_error(answer)
    passing = answer.status == 503 or (error is not None and error.code in {-1008, -1021})
    return passing and is_definite(answer)


def explain(answer: Answer, venue: Venue, asked: str, refusal: Refusal | None = None) -> LeverageError:
    """The typed error for an answer that is not what was asked for.

    Args:
        answer: Any answer but a usable one.
        venue: Who gave it.
        asked: What had been asked, as "GET /fapi/v1/time".
        refusal: What it means, where more is known than its code.
    """
    error, refusal = read_error(answer), refusal or find_refusal(answer)
    if 300 <= answer.status < 400:
        return UnexpectedAnswer(
            f"{venue.speaker} answered {asked} with a redirect, which is not followed: "
            "it would carry the key elsewhere.",
            hint="Check rest_url.",
            http_status=answer.status,
        )
    if refusal is None and (error is None or error.code >= 0):
        looks = f"“{error.msg}”" if error else describe(answer.body)
        return UnexpectedAnswer(
            f"{venue.speaker} answered {asked} with HTTP {answer.status}: {looks}.",
            hint="Try again; if it persists, see Binance's status page.",
            http_status=answer.status,
        )
    code = error.code if error is not None and error.code < 0 else None
    told = code if code is not None else f"HTTP {answer.status}"
    said = f"says “{error.msg}” ({told})" if error else f"answered HTTP {answer.status}"
    words = error.msg if error else ""
    meaning = refusal.meaning if refusal else ""
    details = {
        "headline": f"{venue.speaker} refused {asked}.",
        "hint": _advice(refusal, words),
        "code": code,
        "http_status": answer.status,
        "words": words,
        "meaning": meaning,
    }
    text = f"{venue.speaker} {said}. {meaning}".rstrip()
    if is_rate_limit(answer):
        return RateLimited(text, retry_after=answer.retry_after, **details)
    return RequestRefused(text, **details)  # type: ignore[arg-type]  # as declared above


def is_rate_limit(answer: Answer) -> bool:
    """Whether an answer says that this address sends too much."""
    error = read_error(answer) if answer.status >= 400 else None
    return answer.status in {418, 429} or (error is not None and error.code == -1003)
