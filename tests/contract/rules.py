"""The rules of Binance USDⓈ-M Futures that client and simulator both rely on, in one table.

The simulator proves nothing about a rule that it shares with the client: only the exchange does. So each rule has its
source, its certainty, the modules that rely on it, and the scenario that decides it on the testnet. ``RULES.md`` shows
the table; ``python -m tests.contract.rules`` writes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Certainty = Literal["documented", "observed", "reported", "inferred", "assumed"]

PAGE = Path(__file__).with_name("RULES.md")


@dataclass(frozen=True)
class Rule:
    """One rule of the exchange.

    Attributes:
        id: A short name that does not change.
        rule: The rule, in one sentence.
        source: The document or report, with its URL.
        certainty: "documented" by Binance; "observed" in published answers; "reported" by users or clients; "inferred"
            from documents of other things; "assumed" without a source.
        client: The modules of the client that rely on it.
        simulator: The modules of the simulator that rely on it.
        scenario: The scenario that decides it on the testnet; "" if none can.
        why_not: Why no scenario decides it; "" if one does.
    """

    id: str
    rule: str
    source: str
    certainty: Certainty
    client: tuple[str, ...]
    simulator: tuple[str, ...]
    scenario: str = ""
    why_not: str = ""


_DOCS = "https://developers.binance.com/docs/derivatives/usds-margined-futures"
_GENERAL = f"General Info, {_DOCS}/general-info"
_CODES = f"Error Codes, {_DOCS}/error-code"
_STREAM = f"User Data Streams, {_DOCS}/user-data-streams"
_CHANGE = f"Change Initial Leverage, {_DOCS}/trade/rest-api/Change-Initial-Leverage"
_CONFIG = f"Symbol Configuration, {_DOCS}/account/rest-api/Symbol-Config"
_BRACKETS = f"Notional and Leverage Brackets, {_DOCS}/account/rest-api/Notional-and-Leverage-Brackets"
_RISK = f"Position Information V3, {_DOCS}/trade/rest-api/Position-Information-V3"
_ACCOUNT = f"Account Information V3, {_DOCS}/account/rest-api/Account-Information-V3"
_MARGIN_TYPE = f"Change Margin Type, {_DOCS}/trade/rest-api/Change-Margin-Type"
_MARGIN = f"Modify Isolated Position Margin, {_DOCS}/trade/rest-api/Modify-Isolated-Position-Margin"
_MARGIN_HISTORY = f"Position Margin Change History, {_DOCS}/trade/rest-api/Get-Position-Margin-Change-History"
_UPDATE = f"{_STREAM}/Event-Balance-and-Position-Update"
_INFO = f"Exchange Information, {_DOCS}/market-data/rest-api/Exchange-Information"
_MARGIN_FAQ = "FAQ on leverage and margin, https://www.binance.com/en/support/faq/360033162192"
_BALANCE_FAQ = (
    "FAQ on the margin balance, https://www.binance.com/en/support/faq/"
    "how-to-adjust-margin-balance-in-cross-isolated-margin-mode-360038447311"
)
_LIQUIDATION_FAQ = "FAQ on liquidation prices, https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93"
_TIERS_OF_ALL = "tiers of 907 symbols in freqtrade 2026.9, https://pypi.org/project/freqtrade/"
_NOT_SET = "nautilus_trader PR #4289, https://github.com/nautechsystems/nautilus_trader/pull/4289"
_PATH_FORM = (
    "unicorn-binance-websocket-api PR #446, "
    "https://github.com/oliver-zehentleitner/unicorn-binance-websocket-api/pull/446"
)

_NEEDS_FAULT = "Only a fault of the exchange shows it, and no request causes one."
_NEEDS_ACCOUNT = "It needs an account with a restriction that cannot be requested."

# fmt: off
RULES = (
    # -- requests
    Rule("hmac-signature", "A request is signed with HMAC-SHA256 over the query and body exactly as sent; a wrong "
         "signature is -1022.", _GENERAL, "documented",
         ("binance/signing.py", "binance/client.py"), ("simulator/admission.py",), "wrong_signature"),
    Rule("percent-encoding", "A symbol beyond ASCII is sent in percent-encoded UTF-8, and signed as sent.",
         "change log of 2025-10-09, https://developers.binance.com/docs/derivatives/change-log", "documented",
         ("binance/signing.py",), ("simulator/admission.py",), "symbols_beyond_ascii"),
    Rule("key-types", "RSA signatures are PKCS#1 v1.5 with SHA-256 in base64; Ed25519 keys sign REST requests too.",
         "General Info (RSA); python-binance #1396 (Ed25519), https://github.com/sammchardy/python-binance/issues/1396",
         "reported", ("binance/signing.py",), ("simulator/admission.py",),
         why_not="The run uses an HMAC key; a key pair would have to be registered first."),
    Rule("timestamp-window", "A timestamp is accepted if it is less than 1 s ahead and at most recvWindow old; any "
         "other is -1021, not executed.", _GENERAL, "documented",
         ("binance/client.py", "changes/settle.py"), ("simulator/admission.py",), "old_timestamp"),
    Rule("recv-window-maximum", "A recvWindow of 60000 is accepted.",
         f"{_GENERAL} states no maximum; the schemas of the new documentation say 60000", "inferred",
         ("binance/client.py",), ("simulator/admission.py",), "longest_recv_window"),
    Rule("key-refusals", "A malformed key is -2014; an unknown one is -2015 or -2008.",
         f"{_CODES}; -2008: https://github.com/ccxt/ccxt/issues/29099", "documented",
         ("binance/error_codes.py",), ("simulator/admission.py",), "unknown_key"),
    Rule("server-time", "GET /fapi/v1/time has the exchange's clock in milliseconds; that of exchangeInfo is not used.",
         f"Check Server Time, {_DOCS}/market-data/rest-api/Check-Server-Time", "documented",
         ("binance/client.py",), ("simulator/exchange.py",), "server_time"),
    Rule("weight-header", "Every answer names the used weight of this minute in X-MBX-USED-WEIGHT-1M.", _GENERAL,
         "documented", ("binance/rate_limit.py",), ("simulator/exchange.py",), "server_time"),
    Rule("request-weights", "symbolConfig and accountConfig weigh 5, leverageBracket weighs 1.", _CONFIG, "documented",
         ("binance/endpoints.py",), ("simulator/exchange.py",), "request_weights"),
    Rule("weight-limit", "exchangeInfo names the limit REQUEST_WEIGHT for one minute.", _INFO, "documented",
         ("binance/rate_limit.py",), ("simulator/answers.py",), "rate_limit_is_named"),
    Rule("over-the-limit", "Too many requests are 429, then 418, with -1003; they are not executed.", _GENERAL,
         "documented", ("binance/rate_limit.py", "binance/error_codes.py"), ("simulator/admission.py",),
         why_not="Exceeding the limit would ban the address for other programs too."),
    Rule("one-account-two-addresses", "demo-fapi.binance.com and testnet.binancefuture.com are one exchange: the same "
         "key has the same settings.", "public probes of 2026-09 and 2026-10, without a stable address", "reported",
         ("binance/venues.py",), ("simulator/server.py",), "two_addresses_are_one_account"),
    Rule("unsupported-portfolio-margin", "An account in Portfolio Margin is refused on /fapi with -2015.",
         "https://github.com/ccxt/ccxt/issues/22397", "reported",
         ("binance/error_codes.py",), ("simulator/exchange.py",),
         why_not="The testnet has no Portfolio Margin."),
    # -- the answer to a change
    Rule("change-answer", "The 200 of a change names symbol, leverage (a number) and maxNotionalValue (a string).",
         _CHANGE, "documented", ("binance/messages.py", "changes/deliver.py"), ("simulator/exchange.py",), "a_change"),
    Rule("any-integer", "Every integer from 1 to the symbol's maximum is accepted, also between two tiers.", _CHANGE,
         "documented", ("risk/outlook.py", "risk/user_input.py"), ("simulator/account.py",), "a_change"),
    Rule("out-of-range", "A leverage above the first tier's is -4028; a missing symbol is -1102, an unknown one -1121; "
         "nothing changes.", _CODES, "documented",
         ("risk/user_input.py", "binance/error_codes.py"), ("simulator/account.py", "simulator/exchange.py"),
         "malformed_changes"),
    Rule("malformed-leverage", "A leverage that is zero, negative, a fraction or not a number is refused, and nothing "
         "changes.", _CODES, "inferred", ("risk/user_input.py",), ("simulator/admission.py",), "malformed_leverages"),
    Rule("same-again", "Setting the current leverage again is answered with 200, like any change.",
         "logs of trading bots; the third text of -4028 may contradict it", "inferred",
         ("binance/error_codes.py", "changes/settle.py"), ("simulator/account.py",), "the_same_again"),
    Rule("read-after-write", "A read of symbolConfig that is sent after the answer shows the new leverage, at most the "
         "grace later.", "no document", "assumed",
         ("changes/settle.py", "changes/fresh_read.py"), ("simulator/exchange.py",), "a_read_shows_the_change"),
    Rule("4xx-with-code", "A 4xx with one of the codes listed as not executed proves that nothing was executed "
         "(-4028 is tried).",
         _CODES, "inferred", ("binance/error_codes.py", "changes/deliver.py"), ("simulator/fault_kinds.py",),
         "malformed_changes"),
    Rule("definite-503", "The 503 texts “Service Unavailable.” and “Internal error; unable to process your request. "
         "Please try again.” mean: not executed.", _GENERAL, "documented",
         ("binance/error_codes.py",), ("simulator/fault_kinds.py",), why_not=_NEEDS_FAULT),
    Rule("unknown-503", "The 503 text “Unknown error, please check your request or try again later.” leaves the "
         "outcome open; its body has no code.",
         "General Info; on this endpoint: hummingbot PR #5976, https://github.com/hummingbot/hummingbot/pull/5976",
         "observed", ("binance/error_codes.py", "changes/settle.py"), ("simulator/fault_kinds.py",),
         why_not=_NEEDS_FAULT),
    Rule("open-codes", "-1000, -1001, -1006, -1007, -1016 and a 408 leave the outcome open.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/fault_kinds.py",), why_not=_NEEDS_FAULT),
    Rule("throttled", "-1008 means: not executed.", f"{_CODES}, documented for orders only", "inferred",
         ("binance/error_codes.py",), ("simulator/fault_kinds.py",), why_not=_NEEDS_FAULT),
    Rule("late-execution", "A request that was accepted in its window is executed before timestamp + recvWindow + "
         "grace, or never.", "no document", "assumed", ("changes/settle.py",), ("simulator/faults.py",),
         why_not=_NEEDS_FAULT),
    # -- tiers
    Rule("brackets-form", "leverageBracket is a list; every figure of a tier is a JSON number, cum perhaps a fraction.",
         f"{_BRACKETS}; https://github.com/binance/binance-connector-python/issues/418", "documented",
         ("binance/messages.py",), ("simulator/answers.py",), "brackets_of_all"),
    Rule("brackets-of-one", "With a symbol leverageBracket is an object or a list of one, with the same tiers.",
         f"{_BRACKETS}; https://github.com/JKorf/Binance.Net/issues/499", "observed",
         ("binance/reader.py",), ("simulator/exchange.py",), "brackets_of_one"),
    Rule("tiers-join", "Tiers start at 0, join without gaps, fall to 1x and rise in rate.", _TIERS_OF_ALL, "observed",
         ("risk/bracket_checks.py",), ("simulator/market.py",), "tiers_hold_together"),
    Rule("cum-recurrence", "cum is that of the tier below plus floor × (rate - rate below).", _MARGIN_FAQ, "documented",
         ("risk/bracket_checks.py", "risk/brackets.py"), ("simulator/account.py",), "tiers_hold_together"),
    Rule("binding-tier", "A notional is in the tier with floor < notional ≤ cap.",
         "announcements print “5,000 < Position ≤ 10,000”, https://www.binance.com/en/support/announcement",
         "documented",
         ("risk/brackets.py",), ("simulator/market.py",),
         why_not="At a cap both tiers give the same maintenance margin: only an order of that size would show it."),
    Rule("max-notional", "The max notional at a leverage is the cap of the last tier whose initialLeverage is at least "
         "that leverage.", "three answers: https://github.com/ccxt/ccxt/issues/14593, "
         "https://github.com/Binance-docs/Binance_Futures_python/issues/59, https://github.com/ccxt/ccxt/pull/21145",
         "observed", ("risk/brackets.py",), ("simulator/market.py",), "max_notional_follows_from_the_tiers"),
    Rule("notional-coef", "The caps of an account with a notionalCoef are those that apply.",
         f"{_BRACKETS}: what it multiplies is not documented", "assumed",
         ("risk/brackets.py",), ("simulator/answers.py",), "what_notional_coef_multiplies"),
    # -- settings
    Rule("config-form", "symbolConfig is a list, also with a symbol; leverage is a number, maxNotionalValue a string.",
         _CONFIG, "documented", ("binance/messages.py", "binance/reader.py"), ("simulator/answers.py",),
         "symbol_config"),
    Rule("not-set-is-zero", "On the testnet a symbol that the account has never used answers the leverage 0: not set.",
         _NOT_SET, "reported", ("binance/reader.py", "risk/account_state.py"), ("simulator/account.py",),
         "not_set_is_zero"),
    Rule("default-leverage", "The default of a leverage that is not set is 20x, or the symbol's maximum if lower.",
         _MARGIN_FAQ, "inferred", ("changes/undo.py", "changes/settle.py"), ("simulator/account.py",),
         why_not="The default shows only after an order, and the run places none."),
    Rule("modes", "accountConfig names hedge mode and multi-assets mode as booleans.",
         f"Account Configuration, {_DOCS}/account/rest-api/Account-Config", "documented",
         ("binance/messages.py",), ("simulator/answers.py",), "account_config"),
    Rule("hedge-one-leverage", "In hedge mode both sides of a symbol share one leverage and one cap.",
         "Binance's text on position limits: long and short count together", "documented",
         ("risk/account_state.py",), ("simulator/account.py",),
         why_not="It needs two open sides that exceed a cap only together; the run places no orders."),
    # -- positions and margins
    Rule("risk-form", "positionRisk v3 lists symbols with a position or orders; figures are strings; no row has a "
         "leverage.", _RISK, "documented", ("binance/messages.py",), ("simulator/answers.py",), "position_risk"),
    Rule("account-form", "account v3 has each asset's figures as strings.", _ACCOUNT, "documented",
         ("binance/messages.py",), ("simulator/answers.py",), "account_and_balance"),
    Rule("mark-price", "premiumIndex has the mark price of a symbol, as a string.",
         f"Mark Price, {_DOCS}/market-data/rest-api/Mark-Price", "documented",
         ("binance/messages.py",), ("simulator/answers.py",), "mark_price"),
    Rule("initial-margin", "Initial margin is notional at mark price / leverage; maintenance margin is notional × rate "
         "- cum.", _MARGIN_FAQ, "documented",
         ("risk/outlook.py", "risk/brackets.py"), ("simulator/account.py",), "margins_of_positions"),
    Rule("isolated-liquidation", "An isolated position is liquidated at (wallet + cum - amount × entry) / (|amount| × "
         "rate - amount), with the tier at that price.",
         f"{_LIQUIDATION_FAQ}; reproduces real answers, see tests/real_positions.py", "observed",
         ("risk/liquidation.py",), ("simulator/liquidation.py",), "liquidation_of_isolated_positions"),
    Rule("cross-liquidation", "For a cross position the wallet is the cross wallet plus the other positions' profit "
         "less their maintenance margin.", _LIQUIDATION_FAQ, "documented",
         ("risk/liquidation.py",), ("simulator/liquidation.py",),
         why_not="The figures of the other positions move between the reads of a check."),
    Rule("leverage-is-not-liquidation", "Changing the leverage of a cross position changes neither its size nor its "
         "liquidation price.", _MARGIN_FAQ, "documented",
         ("risk/outlook.py",), ("simulator/liquidation.py",), "leverage_moves_no_cross_liquidation"),
    Rule("available", "Available margin is cross wallet + cross profit - initial margin of cross positions and orders.",
         _ACCOUNT, "inferred", ("risk/account_state.py",), ("simulator/account.py",), "available_balance"),
    Rule("order-exposure", "Open orders count on the side that makes the position largest.", "no document", "inferred",
         ("risk/account_state.py",), ("simulator/account.py",), "orders_above_the_cap"),
    # -- refusals
    Rule("isolated-not-lowered", "With an open isolated position a lower leverage is -4161.",
         f"{_CODES}; https://github.com/Drakkar-Software/OctoBot/issues/3576", "documented",
         ("risk/outlook.py",), ("simulator/account.py",), "an_isolated_position_is_not_lowered"),
    Rule("isolated-raised", "With an open isolated position a higher leverage is accepted; wallet and liquidation "
         "price stay.", "guides; not in the API documents", "inferred",
         ("risk/outlook.py", "risk/account_state.py"), ("simulator/account.py",), "an_isolated_position_is_raised"),
    Rule("position-above-cap", "A leverage whose cap the position exceeds is -2027.", _CODES, "documented",
         ("risk/outlook.py",), ("simulator/account.py",), "a_position_above_the_cap"),
    Rule("orders-above-cap", "A leverage whose cap the position exceeds only with its open orders is -2027.",
         f"{_CODES}: the text names orders", "inferred",
         ("risk/outlook.py",), ("simulator/account.py",), "orders_above_the_cap"),
    Rule("margin-too-small", "A lower leverage that needs more margin than is available is -2028.",
         f"{_CODES}; the Chinese text names the available balance", "documented",
         ("risk/outlook.py",), ("simulator/account.py",), "a_cross_position_beyond_the_balance"),
    Rule("margin-of-orders", "The same applies to open orders without a position.", "no document", "inferred",
         ("risk/outlook.py",), ("simulator/account.py",), "orders_beyond_the_balance"),
    Rule("asset-index", "assetIndex gives the USD rates of a margin asset: its index less the bid buffer, plus the ask "
         "buffer.",
         "Multi-Assets Mode Asset Index, https://developers.binance.com/docs/derivatives/"
         "usds-margined-futures/market-data/rest-api/Multi-Assets-Mode-Asset-Index", "documented",
         ("binance/reader.py", "risk/collateral.py"), ("simulator/answers.py",), "asset_index"),
    Rule("multi-assets", "In multi-assets mode equity and available margin follow from all assets at their bid and ask "
         "rates, and -2028 from the available margin.",
         "https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-"
         "c983a9268cfa4e70a4916c276bb3b7bc (formula documented; that -2028 uses it is inferred)", "inferred",
         ("risk/account_state.py", "risk/collateral.py", "risk/outlook.py"),
         ("simulator/account.py",), "lowering_in_multi_assets_mode"),
    Rule("order-of-checks", "Where several refusals apply, -4161 comes before -2027, and -2027 before -2028.",
         "no document", "assumed", ("risk/outlook.py",), ("simulator/account.py",),
         why_not="The run tries no change to which two refusals apply."),
    Rule("predictions", "A change that is predicted to pass passes; one that is predicted to be refused is refused "
         "with the predicted code.", "the rules above, together", "inferred",
         ("risk/outlook.py", "changes/preview.py"), ("simulator/account.py",), "predictions"),
    Rule("new-account", "A new account is refused more than 20x with -4300, whose text names the time in UTC.",
         "public report of 2026-10-01, and a second client", "reported",
         ("binance/error_codes.py", "changes/account_limits.py"), ("simulator/fault_kinds.py",),
         why_not=_NEEDS_ACCOUNT),
    Rule("region-limit", "A region's maximum is -4206 or -4403, whose text names it.", _CODES, "documented",
         ("binance/error_codes.py", "changes/account_limits.py"), ("simulator/fault_kinds.py",),
         why_not=_NEEDS_ACCOUNT),
    # -- margin types
    Rule("margin-type-answer", "A change of margin type is answered with code 200 and “success”, and symbolConfig "
         "shows it.", _MARGIN_TYPE, "documented",
         ("binance/reader.py", "binance/messages.py"), ("simulator/exchange.py",), "a_margin_type_changes"),
    Rule("margin-type-same", "The margin type that a symbol has is refused with -4046 or -4067.",
         f"{_CODES} (-4046); https://github.com/binance/binance-connector-python/issues/538 (-4067)", "reported",
         ("binance/error_codes.py",), ("simulator/account.py",), "the_same_margin_type_again"),
    Rule("margin-type-orders", "With open orders another margin type is -4047.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/account.py",), "a_margin_type_with_open_orders"),
    Rule("margin-type-position", "With an open position another margin type is -4048.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/account.py",), "a_margin_type_with_a_position"),
    Rule("margin-type-multi-assets", "In multi-assets mode the margin type isolated is -4168.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/account.py",), "isolated_in_multi_assets_mode"),
    Rule("margin-type-checks", "Where several refusals apply, -4046 comes first, then -4168, -4047 and -4048.",
         "no document", "inferred", ("binance/error_codes.py",), ("simulator/account.py",),
         why_not="The run tries no change to which two refusals apply."),
    Rule("margin-type-event", "A change of margin type sends ACCOUNT_UPDATE with the reason MARGIN_TYPE_CHANGE.",
         _UPDATE, "documented", ("binance/events.py",), ("simulator/exchange.py",), "a_margin_type_sends_an_event"),
    # -- isolated margin
    Rule("isolated-margin-answer", "A change of isolated margin is answered with code 200, amount (a number) and type, "
         "and moves the isolated wallet.", _MARGIN, "documented",
         ("binance/reader.py", "binance/messages.py"), ("simulator/isolated_margin.py", "simulator/answers.py"),
         "isolated_margin_moves"),
    Rule("isolated-margin-liquidation", "Added margin moves the liquidation price by amount / (size × rate - side × "
         "size).", _LIQUIDATION_FAQ, "documented",
         ("risk/liquidation.py",), ("simulator/liquidation.py",), "isolated_margin_moves"),
    Rule("isolated-margin-event", "A change of isolated margin sends ACCOUNT_UPDATE with the reason MARGIN_TRANSFER.",
         f"{_UPDATE}: names the reason, not its cause", "inferred",
         ("binance/events.py",), ("simulator/exchange.py",), "isolated_margin_sends_an_event"),
    Rule("margin-on-cross", "Margin for the position of a cross symbol is -4049.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/isolated_margin.py",), "margin_on_a_cross_symbol"),
    Rule("margin-without-position", "Without a position an addition is -4054, and a reduction -4051.",
         f"{_CODES} (-4054); https://github.com/Binance-docs/Binance_Futures_python/issues/150 (-4051)", "reported",
         ("binance/error_codes.py",), ("simulator/isolated_margin.py",), "margin_without_a_position"),
    Rule("margin-without-side", "In hedge mode a request without positionSide finds no position.",
         "https://github.com/binance/binance-futures-connector-python/issues/239", "reported",
         ("binance/error_codes.py",), ("simulator/isolated_margin.py",),
         why_not="A wrong assumption would move the margin of a position that the run cannot name."),
    Rule("margin-beyond-balance", "More margin than the balance has is -4050.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/isolated_margin.py",), "margin_beyond_the_balance"),
    Rule("margin-beyond-wallet", "A reduction that the position does not allow is -4051.", _CODES, "documented",
         ("binance/error_codes.py",), ("simulator/isolated_margin.py",), "margin_beyond_the_balance"),
    Rule("margin-most-added", "At most min(cross wallet - margin of isolated orders - maintenance margin of cross "
         "positions, available balance) can be added.",
         f"{_BALANCE_FAQ}; that its “Isolated Available for Order” is the available balance is inferred", "inferred",
         ("risk/account_state.py",), ("simulator/isolated_margin.py",),
         why_not="Only adding nearly all of the balance would show it."),
    Rule("margin-most-reduced", "At most min(wallet - maintenance margin, wallet + unrealized profit - initial margin) "
         "can be reduced.", _BALANCE_FAQ, "documented",
         ("risk/account_state.py",), ("simulator/isolated_margin.py",), "the_most_that_can_be_reduced"),
    Rule("margin-amounts", "An amount that is not positive is -4055, one with more than eight decimals -1111.",
         f"{_CODES}: the texts", "inferred", ("binance/error_codes.py",), ("simulator/isolated_margin.py",),
         why_not="A wrong assumption about a negative amount would move margin the other way."),
    Rule("margin-history-form", "positionMargin/history lists a change with type, deltaType USER_ADJUST, amount (a "
         "string), asset, time and positionSide.", _MARGIN_HISTORY, "documented",
         ("binance/reader.py",), ("simulator/answers.py",), "margin_history"),
    Rule("margin-history-order", "The earliest row comes first.", f"{_MARGIN_HISTORY}: its example", "inferred",
         ("binance/reader.py",), ("simulator/isolated_margin.py",), "margin_history"),
    Rule("margin-history-sign", "The amount of a reduction is negative.",
         "a funding fee of type 2 in https://github.com/ccxt/ccxt/pull/21875", "inferred",
         ("binance/reader.py",), ("simulator/answers.py",), "margin_history"),
    Rule("margin-history-delay", "A change appears in the history within seconds.", "no document", "assumed",
         ("binance/reader.py",), ("simulator/isolated_margin.py",), "margin_history"),
    # -- the private stream
    Rule("listen-key", "The API key alone opens a listen key, the same one until it expires; PUT extends it.",
         f"Start User Data Stream, {_DOCS}/user-data-streams/Start-User-Data-Stream", "documented",
         ("binance/client.py", "binance/user_stream.py"), ("simulator/exchange.py",), "listen_key"),
    Rule("stream-forms", "At least one of the documented forms of the stream's address delivers.",
         f"{_STREAM}; {_PATH_FORM}; https://github.com/ccxt/ccxt/pull/28091 (they contradict each other)", "reported",
         ("binance/user_stream.py",), ("simulator/server.py",), "a_form_of_the_stream_delivers"),
    Rule("change-event", "A change sends ACCOUNT_CONFIG_UPDATE with E and T in milliseconds, and symbol and leverage "
         "in ac.", f"{_STREAM}/Event-Account-Configuration-Update-previous-Leverage-Update", "documented",
         ("binance/events.py",), ("simulator/exchange.py",), "a_change_sends_an_event"),
    Rule("unchanged-event", "A change that changes nothing sends no event.", "no document", "assumed",
         ("binance/user_stream.py",), ("simulator/exchange.py",), "an_unchanged_leverage_sends_no_event"),
    Rule("wrong-listen-key", "A stream with a wrong listen key connects and stays silent.",
         "public test code of 2026-10-03, without a stable address", "reported",
         ("binance/user_stream.py",), ("simulator/server.py",), "a_wrong_listen_key_is_silent"),
    Rule("listen-key-expiry", "A listen key that was deleted or has expired sends listenKeyExpired; PUT then is -1125.",
         f"{_STREAM}; public test code of 2026-10-03", "reported",
         ("binance/user_stream.py", "binance/events.py"), ("simulator/exchange.py",),
         why_not="An account has one listen key: deleting it would cut off the user's other programs."),
)
# fmt: on


def render() -> str:
    """Return the table in Markdown."""
    lines = [
        "# The rules of Binance that client and simulator share",
        "",
        "Written by `python -m tests.contract.rules` from `tests/contract/rules.py`. Documented: by Binance. Observed: "
        "in published answers. Reported: by users or clients. Inferred: from documents of other things. Assumed: "
        "without a source. The scenario decides the rule on the testnet, "
        "[as CONTRIBUTING says](../../.github/CONTRIBUTING.md#the-contract).",
        "",
        "| id | rule | certainty | source | client | simulator | decided by |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule in RULES:
        modules = ["<br>".join(f"`{module}`" for module in side) for side in (rule.client, rule.simulator)]
        decided = f"`{rule.scenario}`" if rule.scenario else rule.why_not
        cells = [rule.id, rule.rule, rule.certainty, rule.source, *modules, decided]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
