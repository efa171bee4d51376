"""Error codes in one table: meaning, next step, and whether the request may have been executed.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
-2008, -4300, -4411 and -4531 are not on that page; public reports describe them. Meanings and advice are written for
this package. ``executed`` is "unknown" if Binance states or implies that the request may have been executed, and if the
code may mean that there is nothing to change: then only a read shows the setting.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from leverage_nb.binance.endpoints import Endpoint
from leverage_nb.binance.http import Answer
from leverage_nb.binance.messages import ErrorBody, as_plain_text, describe
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import LeverageError, RateLimited, RequestRefused, UnexpectedAnswer
from leverage_nb.formatting import moment


@dataclass(frozen=True)
class Refusal:
    """The explanation of one code or status.

    Attributes:
        meaning: The meaning in plain words; "" if Binance's message is clear enough.
        advice: The next step.
        executed: Whether the request may have been executed.
    """

    meaning: str
    advice: str
    executed: Literal["no", "unknown"] = "no"


_MAY_BE_EXECUTED = "The request may have been executed."

_VERIFY = "Read the setting before you try again."
_KEYS = (
    "Usual causes: the key belongs to another venue (testnet keys do not work on mainnet, nor mainnet keys on the "
    "testnet), this machine's IP address is not on the key's list, Futures is not enabled for the key, or the account "
    "uses Portfolio Margin, which this API does not serve."
)
_REPORT = "This is a bug in leverage_nb or in a gateway on the way: please report it."
_SUPPORT = "Only Binance can change this: read the account's notices or contact its support."
_MARGIN = "Add margin or reduce positions."
_WAIT = "Wait. Other programs at this address count too."
_AT_MOST_20 = "Stay at 20x or below until then."
_NAMED_MAXIMUM = "Stay at or below the maximum that Binance names."
_NOTHING_TO_CHANGE = "Read the setting: it may be as requested already."
_CLOSE_FIRST = "Cancel the orders and close the positions first."

CODES: dict[int, Refusal] = {
    -1000: Refusal(f"An internal error. {_MAY_BE_EXECUTED}", _VERIFY, "unknown"),
    -1001: Refusal(f"An internal error. {_MAY_BE_EXECUTED}", _VERIFY, "unknown"),
    -1002: Refusal("The API key is not authorised for this request.", _KEYS),
    -1003: Refusal("Too many requests from this address.", _WAIT),
    -1006: Refusal(_MAY_BE_EXECUTED, _VERIFY, "unknown"),
    -1007: Refusal(_MAY_BE_EXECUTED, _VERIFY, "unknown"),
    -1008: Refusal("The exchange is overloaded. The request was not executed.", "Try again in a moment."),
    -1010: Refusal("", _REPORT),
    -1011: Refusal("This IP address may not use this endpoint.", _KEYS),
    -1013: Refusal("", _REPORT),
    -1015: Refusal("Too many orders.", "Wait a moment."),
    -1016: Refusal(f"The service is shutting down. {_MAY_BE_EXECUTED}", _VERIFY, "unknown"),
    -1020: Refusal("The operation is not supported.", _REPORT),
    -1021: Refusal(
        "The request's time differs from the exchange's time by more than recvWindow allows.",
        "Try again. If it happens again, set this machine's clock.",
    ),
    -1022: Refusal("The signature is not valid for this key.", "Check the API secret: copy key and secret again."),
    -1099: Refusal("Not found, or not authorised.", _KEYS),
    -1100: Refusal("A parameter has characters that are not allowed.", _REPORT),
    -1101: Refusal("The request has too many parameters.", _REPORT),
    -1102: Refusal("A parameter is missing or malformed.", _REPORT),
    -1103: Refusal("The request has an unknown parameter.", _REPORT),
    -1104: Refusal("The exchange did not read all parameters.", _REPORT),
    -1105: Refusal("A parameter is empty.", _REPORT),
    -1106: Refusal("The request has a parameter that is not required.", _REPORT),
    -1108: Refusal("The asset is not valid.", _REPORT),
    -1109: Refusal("There is no Futures account.", "Open the Futures account at Binance first."),
    -1110: Refusal("The instrument type is not valid.", _REPORT),
    -1111: Refusal("A number has too many decimal places.", _REPORT),
    -1121: Refusal("The exchange does not list this symbol.", "Check the spelling, and whether it is listed yet."),
    -1122: Refusal("The symbol is not trading yet, or no longer.", "Try again when it trades."),
    -1125: Refusal("The listen key has expired or was deleted.", "The next connection creates a new one."),
    -1126: Refusal("The asset is not supported.", _REPORT),
    -1127: Refusal("The period is too long.", _REPORT),
    -1128: Refusal("This combination of parameters is not valid.", _REPORT),
    -1130: Refusal("A parameter is not valid.", _REPORT),
    -2008: Refusal("The exchange does not know this API key.", _KEYS),
    -2014: Refusal("The API key does not have the format of a key.", "Copy the whole key again."),
    -2015: Refusal("The exchange rejected the API key.", _KEYS),
    # Documented for a query of prices: no answer to a change of leverage.
    -2016: Refusal("The exchange has no trading window of this symbol.", _REPORT),
    -2017: Refusal("The account's API keys are locked.", _SUPPORT),
    -2018: Refusal("The balance is too small.", _MARGIN),
    -2019: Refusal("The margin is too small.", _MARGIN),
    -2023: Refusal("The account is being liquidated.", "Wait until the liquidation is over."),
    -2027: Refusal(
        "The position and its open orders are larger than the new leverage allows.",
        "Choose a lower leverage, or reduce the position or its orders first.",
    ),
    -2028: Refusal(
        "A lower leverage needs more margin than the account has available.",
        "Choose a higher leverage, add margin, or reduce positions.",
    ),
    -4027: Refusal("The account type does not allow this.", _SUPPORT),
    -4028: Refusal("The symbol does not allow this leverage.", "See the symbol's tiers for its maximum."),
    # -4046 to -4068 are documented for changes of margin type, isolated margin and position mode. Public reports have
    # -4067 also for a request that changes nothing (https://github.com/ccxt/ccxt/issues/28703; certainty: medium to
    # high): hence "unknown".
    -4046: Refusal("The margin type is as requested already.", _NOTHING_TO_CHANGE, "unknown"),
    -4047: Refusal("The margin type cannot be changed while there are open orders.", _CLOSE_FIRST),
    -4048: Refusal("The margin type cannot be changed while a position is open.", _CLOSE_FIRST),
    -4049: Refusal("Margin can only be added to an isolated position.", "Use the margin type isolated."),
    -4050: Refusal(
        "The cross balance is too small.", "Add a smaller amount, or transfer funds to the Futures wallet first."
    ),
    -4051: Refusal("The isolated balance is too small.", "Take out a smaller amount."),
    -4054: Refusal("There is no position to which margin could be added.", "Open the position first."),
    -4059: Refusal("The position mode is as requested already.", _NOTHING_TO_CHANGE, "unknown"),
    -4067: Refusal(
        "The position mode cannot be changed while there are open orders, or there is nothing to change.",
        _NOTHING_TO_CHANGE,
        "unknown",
    ),
    -4068: Refusal("The position mode cannot be changed while a position is open.", _CLOSE_FIRST),
    -4084: Refusal("This is not allowed yet.", "Try again later."),
    -4085: Refusal("The account's notional multiplier is not valid.", _SUPPORT),
    -4087: Refusal("The account may only reduce positions.", _SUPPORT),
    -4088: Refusal("The account may not place orders.", _SUPPORT),
    -4109: Refusal("The Futures account is inactive.", "Transfer any amount to the Futures wallet first."),
    -4140: Refusal("The symbol does not allow new positions now.", "Try again when it trades."),
    -4141: Refusal("The symbol is closed.", "It no longer trades."),
    -4144: Refusal("The pair is not valid.", _REPORT),
    -4161: Refusal(
        "With an open isolated position, leverage can only be raised.",
        "To lower the effective leverage, add margin: %leverage SYMBOL --add-margin 500. Or close the position first.",
    ),
    # -4167 to -4172 are documented for changes of multi-assets mode and margin type. By their texts nothing was
    # changed; that they answer a change of leverage is not known.
    -4167: Refusal(
        "Multi-assets mode needs every symbol in the margin type cross.", "Switch the isolated symbols to cross first."
    ),
    -4168: Refusal("Multi-assets mode does not allow the margin type isolated.", "Leave multi-assets mode first."),
    -4169: Refusal("The margin balance is too small to switch multi-assets mode.", _MARGIN),
    -4170: Refusal("Multi-assets mode cannot be switched while there are open orders.", "Cancel the orders first."),
    -4171: Refusal("Multi-assets mode is as requested already.", _NOTHING_TO_CHANGE, "unknown"),
    -4172: Refusal(
        "Multi-assets mode cannot be switched while the wallet balance of a margin asset is negative.", _MARGIN
    ),
    -4189: Refusal("The account may only reduce positions.", _SUPPORT),
    -4192: Refusal("The account is in its cooling-off period.", "Wait until the period ends."),
    -4202: Refusal("More than 20x needs Intermediate Personal Verification.", "Verify at Binance, or stay at 20x."),
    -4203: Refusal("More than 20x is available one month after registration.", _AT_MOST_20),
    -4205: Refusal("More than 20x is available some days after registration.", _AT_MOST_20),
    -4206: Refusal("The maximum leverage in your region is lower.", _NAMED_MAXIMUM),
    -4208: Refusal("The position limit adjustment service limits this symbol to 20x.", "Stay at 20x or below."),
    -4209: Refusal("The symbol's maximum leverage for this account is lower.", _NAMED_MAXIMUM),
    -4300: Refusal(
        "The account is too young for more than 20x.", "Stay at 20x or below until the time that Binance names."
    ),
    -4400: Refusal("A trading rule allows only orders that reduce a position.", "Wait until the restriction ends."),
    -4401: Refusal("A rule on large positions of this symbol does not allow this.", "Reduce the position first."),
    -4402: Refusal("The symbol is not available in your region.", _SUPPORT),
    -4403: Refusal("The maximum leverage in your region is lower.", _NAMED_MAXIMUM),
    # Reported for orders only; changes of leverage were accepted before (https://github.com/freqtrade/freqtrade/issues/12900).
    -4411: Refusal(
        "The symbol needs the signed agreement on TradFi perpetuals.",
        "Read the agreement at Binance, and sign it there if you accept it. leverage_nb never signs it.",
    ),
    # Reported for the position mode, which USDⓈ-M and COIN-M share since 2026; its text is not known (certainty: low).
    -4531: Refusal(
        "The position modes of USDⓈ-M and COIN-M Futures cannot be synchronised now.", "Try again later.", "unknown"
    ),
    -5000: Refusal("The address does not serve this endpoint.", "Check rest_url. The API may have moved."),
    # -5028 and -5040 are documented for orders: rejections of the matching engine, and of a parameter.
    -5028: Refusal(
        "The request reached the matching engine later than recvWindow allows.",
        "Try again. If it happens again, set this machine's clock.",
    ),
    -5040: Refusal("The order's end date is not valid.", _REPORT),
}

# The answers to a change of margin type that is not needed; -4067 by public reports. Only a read shows which it was.
NOTHING_TO_CHANGE = {-4046, -4067}

# The meaning of a status without a code. A status does not say whether the request was executed.
STATUSES: dict[int, Refusal] = {
    401: Refusal("The API key was rejected.", _KEYS),
    403: Refusal("A firewall rejected the request.", "Send fewer requests, and try again later."),
    418: Refusal("This address is banned for some time because it sent too many requests.", "Wait until the ban ends."),
    429: Refusal("Too many requests from this address.", _WAIT),
    451: Refusal(
        "Binance does not serve this machine's location.",
        "Cloud notebooks often run in such a location. rest_url can name a gateway elsewhere.",
    ),
}

# The two messages with HTTP 503 that Binance documents as definite failures; the third leaves the outcome open.
_DEFINITE_503 = ("service unavailable.", "internal error; unable to process your request. please try again.")

# Without the hour 24, which Python reads from 3.14 on.
_LIFTS = re.compile(r"by ([0-9]{4}-[0-9]{2}-[0-9]{2} (?:[01][0-9]|2[0-3]):[0-9]{2})(?::[0-9]{2})? \(?UTC\b")
_ADDRESS = re.compile(r"request ip: ([0-9a-fA-F.:]{1,45})")


def read_lift_time(words: str) -> datetime | None:
    """Return the local time at which a limit ends, from a message such as "by 2026-10-29 01:34 (UTC)".

    Return None if the message names no time or an impossible one; never raise.
    """
    named = _LIFTS.search(words)
    if named is not None:
        with suppress(ValueError, OverflowError, OSError):  # at the ends of the calendar
            return datetime.fromisoformat(named[1]).replace(tzinfo=UTC).astimezone()
    return None


def _advice(refusal: Refusal | None, words: str) -> str:
    """Return the next step, with the time or the IP address that the exchange's message names."""
    advice = refusal.advice if refusal else ""
    lifts, address = read_lift_time(words), _ADDRESS.search(words)
    if lifts is not None:
        advice += f" The limit ends on {moment(lifts)}, local time."
    if address is not None:
        advice += f" The request reached the exchange from {address[1]}."
    return advice.strip()


def without_doubt(text: str) -> str:
    """Return an explanation without "may have been executed": the outcome is known, or nothing was to be executed."""
    return text.replace(_MAY_BE_EXECUTED, "").strip()


def read_error(answer: Answer) -> ErrorBody | None:
    """Return code and message of an answer, with code 0 if it has only a message; None if it has neither."""
    try:
        error = msgspec.json.decode(answer.body, type=ErrorBody, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if abs(error.code) >= 1_000_000:
        error = ErrorBody(msg=error.msg)  # Binance's codes have up to five digits
    return error if error.msg or error.code else None


def is_definite(answer: Answer) -> bool:
    """Return whether an error answer proves that the exchange did not execute the request.

    Proofs are Binance's JSON error with a 4xx status and a code listed as not executed, and the two 503 messages that
    Binance documents. A status alone, or a 5xx with a code, may come from a proxy or firewall after the exchange has
    executed the request.
    """
    error = read_error(answer)
    if error is None:
        return False
    if answer.status == 503:
        return error.code == 0 and error.msg.strip().lower() in _DEFINITE_503
    if not 400 <= answer.status < 500 or answer.status == 408:
        return False
    if error.code == -4028 and "already exist" in error.msg:
        return False  # the leverage may be set already: only a read shows it
    refusal = CODES.get(error.code)
    return refusal is not None and refusal.executed == "no"


def may_be_repeated(answer: Answer) -> bool:
    """Return whether a definite refusal has a passing cause: a clock difference or an overload."""
    error = read_error(answer)
    passing = answer.status == 503 or (error is not None and error.code in {-1008, -1021})
    return passing and is_definite(answer)


def explain(answer: Answer, venue: Venue, endpoint: Endpoint) -> LeverageError:
    """Return the typed error for an answer that is not a success.

    Args:
        answer: The answer.
        venue: The venue that sent it.
        endpoint: The endpoint of the request.
    """
    error = read_error(answer)
    code = error.code if error is not None and error.code < 0 else None
    refusal = STATUSES.get(answer.status) if code is None else CODES.get(code)
    if 300 <= answer.status < 400:
        return UnexpectedAnswer(
            f"{venue.speaker} answered {endpoint} with a redirect. It was not followed, because it would send the key "
            "to another address.",
            hint="Check rest_url.",
            http_status=answer.status,
        )
    words = as_plain_text(error.msg) if error else ""
    if refusal is None and code is None:
        content = f"“{words}”" if error else describe(answer.body)
        return UnexpectedAnswer(
            f"{venue.speaker} answered {endpoint} with HTTP {answer.status}: {content}.",
            hint="Try again. If it happens again, see Binance's status page.",
            http_status=answer.status,
        )
    named = code if code is not None else f"HTTP {answer.status}"
    answered = f"says “{words}” ({named})" if words else f"answered {named}"
    meaning, advice = refusal.meaning if refusal else "", _advice(refusal, words)
    is_open = refusal is not None and refusal.executed == "unknown"
    if is_open and endpoint.method == "GET":  # a read changes nothing, whether it was executed or not
        meaning, advice = without_doubt(meaning), "Try again."
    details = {
        "headline": f"{venue.speaker} {'did not answer' if is_open else 'refused'} {endpoint}.",
        "hint": advice,
        "code": code,
        "http_status": answer.status,
        "words": words,
        "meaning": meaning,
    }
    text = f"{venue.speaker} {answered}. {meaning}".rstrip()
    if is_rate_limit(answer):
        return RateLimited(text, retry_after=answer.retry_after, **details)
    return RequestRefused(text, **details)  # type: ignore[arg-type]  # as declared above


def is_rate_limit(answer: Answer) -> bool:
    """Return whether an answer says that this address sends too many requests."""
    error = read_error(answer) if answer.status >= 400 else None
    return answer.status in {418, 429} or (error is not None and error.code == -1003)
