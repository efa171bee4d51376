"""One rate limit for a whole process: its share, the used weight in answers, and bans."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from leverage_nb.binance.rate_limit import DEFAULT_LIMIT, Limiter
from leverage_nb.errors import RateLimited
from leverage_nb.session import connect, session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

KEYS = {"api_key": "k" * 64, "api_secret": "s" * 64}
START = 1_800_000_000.0  # on a full minute


class Clock:
    """A clock that advances only by sleeping."""

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
    """A clock under the test's control."""
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    """A limit of 2,400 a minute, of which one client uses half."""
    limiter = Limiter(wall=clock, ticks=clock, sleep=clock.sleep)
    limiter.join(Limiter, 0.5)  # any object can stand for a client
    return limiter


def test_a_share_of_the_limit_in_any_sixty_seconds(limiter: Limiter, clock: Clock) -> None:
    """A weight of 1,200 of 2,400 may leave at once; the next request waits until the first is a minute old."""
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


def test_the_weight_of_other_programs_counts(limiter: Limiter, clock: Clock) -> None:
    """If the address has used 2,398, nothing that exceeds 2,400 leaves before the next minute."""
    limiter.note(0, 2398)
    limiter.admit(2, patience=0)
    with pytest.raises(RateLimited, match="used up its rate limit of 2,400 a minute"):
        limiter.admit(1, patience=5)
    limiter.admit(1, patience=61)
    assert clock.now == pytest.approx(START + 60.5, abs=0.6)


def test_the_used_weight_restarts_with_the_minute(limiter: Limiter, clock: Clock) -> None:
    """The used weight of the last minute does not count in this one, and a lower one replaces it."""
    limiter.note(0, 2400)
    clock.now += 60
    limiter.admit(1, patience=0)
    limiter.note(1, 2000)
    limiter.note(0, 10)
    for _ in range(100):
        limiter.admit(10, patience=0)


def test_the_smallest_share_applies(limiter: Limiter, clock: Clock) -> None:
    """The smallest share among the clients applies; after its client has left, only to that client's own requests."""
    strict = object.__new__(Clock)
    limiter.join(strict, 0.01)
    limiter.admit(20, patience=0)
    with pytest.raises(RateLimited, match="24 of 2,400"):
        limiter.admit(5, patience=0)
    limiter.leave(strict)
    limiter.admit(5, patience=0)
    with pytest.raises(RateLimited, match="24 of 2,400"):
        limiter.admit(1, patience=0, share=0.01)
    limiter.admit(1, patience=0)


def banned_until(seconds: float) -> str:
    """Return Binance's message for a ban that ends so many seconds after the clock's start."""
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
def test_nothing_leaves_before_the_time_that_the_exchange_names(
    limiter: Limiter, clock: Clock, error: RateLimited, seconds: float
) -> None:
    """The latest time in header and message applies, but at least the shortest wait and at most three days."""
    limiter.block(error)
    with pytest.raises(RateLimited, match="asked this address to wait; the next request may leave at") as caught:
        limiter.admit(1, patience=0.5)
    assert caught.value.retry_after == pytest.approx(seconds, abs=0.01)
    clock.now += seconds
    limiter.admit(1, patience=0)


def test_an_implausible_limit_is_ignored(limiter: Limiter) -> None:
    """A limit out of all proportion does not replace the known one."""
    for wrong in (0, -1, 10**18):
        limiter.learn(wrong)
    assert limiter.limit == DEFAULT_LIMIT


def test_threads_together_stay_within_the_share(clock: Clock) -> None:
    """Threads at the same time send as much as the share allows, and no request more."""
    limiter = Limiter(limit=100, wall=clock, ticks=clock)
    limiter.join(Limiter, 0.5)
    admitted: list[int] = []

    def send() -> None:
        for _ in range(20):
            try:
                limiter.admit(1, patience=0)
            except RateLimited:
                return
            admitted.append(1)

    run_together([send] * 8)
    assert len(admitted) == 50


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in threads and wait for their end."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_request_that_did_not_leave_uses_no_weight(limiter: Limiter) -> None:
    """The weight of a request that did not leave is given back; that of one that left is not."""
    for left in (False, True):
        limiter.admit(600, patience=0)
        limiter.note(600, None, left=left)
    assert limiter.wait_for(600) == 0
    assert limiter.wait_for(601) > 0


def test_accounts_of_one_exchange_share_a_limit(simulator: Simulator) -> None:
    """The smallest share among the accounts at one address applies to all; another address has its own limit."""
    limiter = Limiter(limit=100)
    session.use_limiter(simulator.rest_url, limiter)
    with connect_to(simulator), connect_to(simulator, weight_share=0.2) as strict, Simulator() as other:
        connect_to(other, weight_share=0.01)
        limiter.admit(1, patience=0)
        assert limiter.wait_for(19) == 0
        assert limiter.wait_for(20) > 0
        strict.close()
        assert limiter.wait_for(20) == 0


def test_the_two_names_of_the_testnet_share_a_limit() -> None:
    """A limit for one host name of the testnet applies to accounts at the other; mainnet has its own."""
    limiter = Limiter(limit=100)
    session.use_limiter("https://testnet.binancefuture.com", limiter)
    limiter.admit(1, patience=0)
    with connect("mainnet", weight_share=0.1, **KEYS):
        assert limiter.wait_for(10) == 0
    with connect("testnet", weight_share=0.1, **KEYS):
        assert limiter.wait_for(10) > 0


def test_the_limit_is_read_from_exchange_information() -> None:
    """The limiter uses the REQUEST_WEIGHT of exchangeInfo."""
    with Simulator(weight_limit=6000) as simulator:
        limiter = Limiter()
        session.use_limiter(simulator.rest_url, limiter)
        with connect_to(simulator) as account:
            account.margin_asset("BTCUSDT")
        assert limiter.limit == 6000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # threads are running on purpose
def test_an_account_opened_in_a_forked_process_works(simulator: Simulator) -> None:
    """A lock that a thread of the parent had acquired at the fork does not stop an account that the child opens."""
    inside, go_on = threading.Event(), threading.Event()

    def ticks() -> float:
        if armed:
            inside.set()
            go_on.wait(10)
        return time.monotonic()

    armed: list[int] = []
    session.use_limiter(simulator.rest_url, Limiter(ticks=ticks))
    account = connect_to(simulator)
    account.symbols()
    armed.append(1)
    thread = threading.Thread(target=account.setting, args=("BTCUSDT",))
    thread.start()
    inside.wait(10)
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os._exit(0 if connect_to(simulator).setting("BTCUSDT").leverage == 20 else 1)
        os._exit(2)
    status = os.waitpid(child, 0)[1]
    go_on.set()
    thread.join()
    assert status == 0


def test_setting_the_system_clock_changes_no_wait(clock: Clock) -> None:
    """Setting the machine's clock neither extends a wait nor ends a ban."""
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


def test_a_ban_until_another_day_names_the_date(limiter: Limiter, clock: Clock) -> None:
    """A time that is not today is shown with its date."""
    limiter.block(RateLimited("x", retry_after=86_400, http_status=418))
    with pytest.raises(RateLimited, match=r"may leave at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"):
        limiter.admit(1, patience=0)
