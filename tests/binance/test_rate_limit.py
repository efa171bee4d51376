"""One rate limit for a whole process: a share of it, what the headers tell, and times that are honoured."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.binance import client as client_module
from leverage_nb.binance import rate_limit
from leverage_nb.binance.rate_limit import Limiter, limiter_of, use_limiter
from leverage_nb.errors import ChangeNotSent, InvalidInput, LeverageRefused, NoAnswer, NotConnected, RateLimited
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

START = 1_800_000_000.0  # on a full minute


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = START
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock() -> Clock:
    """Time that passes at will."""
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    """2,400 a minute, of which one client takes half."""
    limiter = Limiter(wall=clock, ticks=clock, sleep=clock.sleep)
    limiter.join(Limiter, 0.5)  # anything that lives stands for a client
    return limiter


def test_a_share_of_the_limit_in_any_sixty_seconds(limiter: Limiter, clock: Clock) -> None:
    """1,200 of 2,400 pass at once; the next waits until the first is a minute old."""
    for _ in range(240):
        limiter.admit(5, patience=0)
        limiter.note(5, None)
        clock.now += 0.1
    assert clock.slept == 0
    with pytest.raises(RateLimited, match="its share of the rate limit, 1,200 of 2,400 a minute") as caught:
        limiter.admit(5, patience=10)
    assert caught.value.retry_after == pytest.approx(36, abs=0.2)
    limiter.admit(5, patience=60)
    assert clock.slept == pytest.approx(36, abs=1)


def test_what_others_use_counts(limiter: Limiter, clock: Clock) -> None:
    """When the header says that the address has used 2,398, nothing that passes 2,400 leaves before the next minute."""
    limiter.note(0, 2398)
    limiter.admit(2, patience=0)
    with pytest.raises(RateLimited, match="used up its rate limit of 2,400 a minute"):
        limiter.admit(1, patience=5)
    limiter.admit(1, patience=61)
    assert clock.now == pytest.approx(START + 60.5, abs=0.6)


def test_the_count_starts_anew_with_the_minute(limiter: Limiter, clock: Clock) -> None:
    """A count of the last minute holds nothing back in this one, and one that has fallen is believed."""
    limiter.note(0, 2400)
    clock.now += 60
    limiter.admit(1, patience=0)
    limiter.note(1, 2000)
    limiter.note(0, 10)
    for _ in range(100):
        limiter.admit(10, patience=0)


def test_the_strictest_share_holds(limiter: Limiter, clock: Clock) -> None:
    """Two clients in one process share one limit; when the stricter leaves, the other's holds."""
    strict = object.__new__(Clock)
    limiter.join(strict, 0.01)
    limiter.admit(20, patience=0)
    with pytest.raises(RateLimited, match="24 of 2,400"):
        limiter.admit(5, patience=0)
    limiter.leave(strict)
    limiter.admit(5, patience=0)


def banned_until(seconds: float) -> str:
    """Binance's words for a ban that lifts so many seconds from the clock's start."""
    return f"Way too many requests; IP banned until {int((START + seconds) * 1000)}. Please use WebSocket Streams."


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimited("x", retry_after=7, http_status=429), 7),
        (RateLimited("x", retry_after=0, http_status=429), 1),
        (RateLimited("x", http_status=429), 60.5),
        (RateLimited("x", http_status=429, words=banned_until(-300)), 1),
        (RateLimited("x", http_status=429, retry_after=5, words=banned_until(300)), 300),
        (RateLimited("x", http_status=429, retry_after=600, words=banned_until(300)), 600),
        (RateLimited("x", http_status=429, retry_after=float("nan")), 60.5),
        (RateLimited("x", http_status=429, words="IP banned until a while from now."), 60.5),
        (RateLimited("x", http_status=429, words="banned until " + "9" * 5000), 60.5),
        (RateLimited("x", http_status=418), 120),
        (RateLimited("x", http_status=418, retry_after=0), 120),
        (RateLimited("x", http_status=418, retry_after=5, words=banned_until(3600)), 3600),
        (RateLimited("x", http_status=418, retry_after=-1e9, words=banned_until(-3600)), 120),
        (RateLimited("x", http_status=418, words="banned until 9999999999999"), 3 * 86_400),
        (RateLimited("x", http_status=418, words=f"IP banned until {int((START + 300) * 1000)}. Please"), 300),
        (RateLimited("x", http_status=418, retry_after=1e12), 3 * 86_400),
    ],
)
def test_times_that_the_exchange_names_are_honoured(
    limiter: Limiter, clock: Clock, error: RateLimited, seconds: float
) -> None:
    """Nothing leaves before the latest time in header and words, nor before the shortest wait; three days at most."""
    limiter.block(error)
    with pytest.raises(RateLimited, match="asked this address to wait; the next request may leave at") as caught:
        limiter.admit(1, patience=0.5)
    assert caught.value.retry_after == pytest.approx(seconds, abs=0.01)
    clock.now += seconds
    limiter.admit(1, patience=0)


def test_one_limiter_for_all_accounts_of_an_address(simulator: Simulator) -> None:
    """Accounts of one address share a limiter; another address has its own."""
    first, second = connect_to(simulator), connect_to(simulator, weight_share=0.2)
    assert service_of(first).client.limiter is service_of(second).client.limiter is limiter_of(simulator.rest_url)
    with Simulator() as other:
        assert service_of(connect_to(other)).client.limiter is not service_of(first).client.limiter


def test_the_testnets_two_names_share_one_limit() -> None:
    """Both host names of the testnet count against one limit; mainnet, a gateway and a path have their own."""
    shared = limiter_of("https://demo-fapi.binance.com")
    assert limiter_of("https://testnet.binancefuture.com") is shared
    others = ["https://fapi.binance.com", "https://gateway.example", "https://gateway.example/b"]
    assert len({id(limiter_of(address)) for address in others} | {id(shared)}) == 4


def test_an_address_can_be_given_another_limiter() -> None:
    """A limiter with shorter bans takes the place of the usual one, for every name of its exchange."""
    quick = use_limiter("https://testnet.binancefuture.com", Limiter(shortest_ban=0.5))
    assert limiter_of("https://demo-fapi.binance.com") is quick
    quick.block(RateLimited("x", retry_after=0, http_status=418))
    assert quick.wait_for(1) <= 0.5


def test_a_limit_beyond_belief_is_not_learnt(limiter: Limiter) -> None:
    """Only a limit that can be one takes the place of the one that is known."""
    for wrong in (0, -1, 10**18):
        limiter.learn(wrong)
    assert limiter.limit == rate_limit.DEFAULT_LIMIT


def test_never_a_429_from_the_simulator() -> None:
    """A loop that would use up the limit is held back at its share, and says until when; the simulator refuses none."""
    with Simulator(weight_limit=120) as simulator, connect_to(simulator, timeout=0.2) as account:
        account.margin_asset("BTCUSDT")
        with pytest.raises((RateLimited, ChangeNotSent)) as caught:
            change_until_it_stops(account)
        assert "its share of the rate limit, 60 of 120 a minute; the next request may leave at" in str(caught.value)
        assert simulator.exchange.weight.used <= 60


def change_until_it_stops(account: Account) -> None:
    """Ask for more than the limit allows."""
    for turn in range(100):
        account.set_leverage("XRPUSDT", 10 + turn % 2)


@pytest.mark.parametrize(("fault", "status"), [("rate_limited_for", 429), ("banned", 418)])
def test_after_a_limit_was_met_nothing_is_sent(simulator: Simulator, fault: str, status: int) -> None:
    """A refusal for sending too much is told with the time of day, and until then nothing leaves."""
    use_limiter(simulator.rest_url, Limiter(shortest_ban=1.0))
    account = connect_to(simulator, timeout=0.3)
    account.margin_asset("BTCUSDT")
    simulator.inject(fault, seconds=2)
    with pytest.raises(LeverageRefused) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert caught.value.http_status == status
    until = service_of(account).client.limiter.blocked_until
    assert until is not None
    assert f"Nothing more is sent before {until:%H:%M:%S}" in caught.value.hint
    used = simulator.exchange.weight.used
    with pytest.raises(ChangeNotSent, match="the next request may leave at"):
        account.set_leverage("BTCUSDT", 10)
    assert simulator.exchange.weight.used == used
    time.sleep(2.1)
    assert account.set_leverage("BTCUSDT", 10).status == "applied"


def test_reads_are_tried_again_with_pauses(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails in passing is tried again, at most four times in all, with pauses that differ."""
    pauses: list[float] = []
    monkeypatch.setattr(client_module.interrupts, "pause", pauses.append)
    simulator.inject("reset_before", on="GET /fapi/v1/symbolConfig", times=2)
    account.symbols()
    account.margin_asset("BTCUSDT")
    assert account.setting("BTCUSDT").leverage == 20
    assert len(pauses) == 2
    simulator.inject("bad_gateway", on="GET /fapi/v1/symbolConfig", times=None)
    pauses.clear()
    with pytest.raises(Exception, match="502"):
        account.setting("BTCUSDT")
    assert len(pauses) == 3
    for pause, around in zip(pauses, (0.1, 0.3, 0.6), strict=True):
        assert 0.5 * around <= pause <= 1.5 * around


def test_reads_keep_their_time_budget(account: Account, simulator: Simulator) -> None:
    """Trying again never takes longer than one request may."""
    account.margin_asset("BTCUSDT")
    service_of(account).client.timeout = 0.4
    simulator.inject("stall", on="GET /fapi/v1/symbolConfig", times=None)
    started = time.monotonic()
    with pytest.raises(NoAnswer):
        account.setting("BTCUSDT")
    assert time.monotonic() - started < 1.2


def test_what_is_refused_is_not_tried_again(account: Account, simulator: Simulator) -> None:
    """A definite refusal of a read is told at once."""
    account.symbols()
    account.margin_asset("BTCUSDT")
    used = simulator.exchange.weight.used
    simulator.inject("restricted", on="GET /fapi/v1/symbolConfig", times=None)
    with pytest.raises(Exception, match="451"):
        account.setting("BTCUSDT")
    assert simulator.exchange.weight.used == used


def test_many_threads_pass_the_share_together(clock: Clock) -> None:
    """Threads at once let through what the share allows and not one more."""
    limiter = Limiter(limit=100, wall=clock, ticks=clock)
    limiter.join(Limiter, 0.5)
    let_through: list[int] = []

    def ask() -> None:
        for _ in range(20):
            try:
                limiter.admit(1, patience=0)
            except RateLimited:
                return
            let_through.append(1)

    run_together([ask] * 8)
    assert len(let_through) == 50


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in threads, and wait."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_limit_is_learnt_from_the_exchange(account: Account) -> None:
    """ExchangeInfo's REQUEST_WEIGHT is the limit, whatever it was thought to be."""
    with Simulator(weight_limit=6000) as other, connect_to(other) as elsewhere:
        elsewhere.margin_asset("BTCUSDT")
        assert service_of(elsewhere).client.limiter.limit == 6000
    assert rate_limit.DEFAULT_LIMIT == 2400


def test_a_clock_that_is_set_changes_nothing(clock: Clock) -> None:
    """Setting the machine's clock back or forth neither hangs what waits nor lifts a ban."""
    wall = Clock()
    limiter = Limiter(limit=100, wall=wall, ticks=clock, sleep=clock.sleep)
    limiter.admit(100, patience=0)
    limiter.note(100, None)
    wall.now -= 3600
    limiter.admit(1, patience=61)
    assert clock.slept <= 62
    limiter.block(RateLimited("x", retry_after=30, http_status=418))
    wall.now += 7200
    with pytest.raises(RateLimited):
        limiter.admit(1, patience=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_process_does_not_wait_for_a_lost_lock(simulator: Simulator) -> None:
    """In a child of a process whose other thread held the limiter's lock, an account that is opened there works."""
    account = connect_to(simulator)
    account.symbols()
    with service_of(account).client.limiter._lock:
        child = os.fork()
        if not child:
            with suppress(BaseException):
                os._exit(0 if connect_to(simulator).setting("BTCUSDT").leverage == 20 else 1)
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_an_account_does_not_survive_a_fork(account: Account) -> None:
    """A forked child that uses its parent's account gets an error that says so, and neither waits nor sends."""
    account.symbols()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            try:
                account.setting("BTCUSDT")
            except InvalidInput as error:
                os._exit(0 if "another process" in error.message else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_what_never_left_uses_up_nothing(account: Account, simulator: Simulator) -> None:
    """Connections that are refused do not count against the share."""
    account.margin_asset("BTCUSDT")
    limiter = service_of(account).client.limiter
    before = limiter._sent_weight
    simulator.close()
    with pytest.raises(NotConnected):
        account.setting("BTCUSDT")
    assert (limiter._sent_weight, limiter._pending) == (before, 0)


def test_a_closed_account_that_is_used_again_keeps_its_share(simulator: Simulator) -> None:
    """The share holds for whoever sends, closed before or not."""
    account = connect_to(simulator, weight_share=0.25)
    account.close()
    account.setting("BTCUSDT")
    assert min(service_of(account).client.limiter._shares.values()) == 0.25


def test_a_long_ban_names_its_day(limiter: Limiter, clock: Clock) -> None:
    """A time that is not today comes with its date."""
    limiter.block(RateLimited("x", retry_after=86_400, http_status=418))
    with pytest.raises(RateLimited, match=r"may leave at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"):
        limiter.admit(1, patience=0)
