"""The journal keeps every attempt and finding, and one open attempt per symbol."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.errors import ForkedProcess, JournalUnusable
from leverage_nb.journal.attempts import Applied, Attempt, Finding
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal
from tests.journal.drafts import APPLIED, NOW, UNKNOWN, draft


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A new journal."""
    journal = Journal(path)
    yield journal
    journal.close()


def begin(journal: Journal, *drafts: Attempt) -> list[Attempt]:
    """Record attempts."""
    return journal.begin(drafts, lambda: 1_700_000_000_000)


def test_recorded_attempts_are_read_back_completely(journal: Journal, path: Path) -> None:
    """Every field of attempts and findings is read back from the file, to the microsecond."""
    [begun] = begin(journal, replace(draft(), plan="p"))
    assert (begun.number, begun.timestamp_ms, begun.is_open, begun.is_ours) == (1, 1_700_000_000_000, True, True)
    journal.add([(begun, UNKNOWN)])
    [closed] = journal.add([(begun, APPLIED)])
    [again] = Journal(path).attempts("key 1")
    assert again == closed
    assert again.findings == (UNKNOWN, APPLIED)
    assert Journal(path).find("key 1", begun.token) == closed
    change = again.change
    assert (change.status, change.before, change.after, change.confirmed_by) == ("applied", 20, 10, "answer")


def test_an_unset_leverage_before_is_none(journal: Journal) -> None:
    """A leverage before that was not set is stored as None."""
    begin(journal, replace(draft(), before=None))
    assert journal.attempts("key 1")[0].before is None


def test_a_symbol_has_one_open_attempt(journal: Journal) -> None:
    """While an attempt is open, it is returned instead of another one on the same account and symbol."""
    [first] = begin(journal, draft())
    assert begin(journal, draft()) == [first]
    assert begin(journal, draft(address="http://there")) == [first]  # another address of the same exchange
    for other in (draft("ETHUSDT"), draft(account="key 2")):
        assert begin(journal, other)[0].token == other.token
    journal.add([(first, UNKNOWN)])
    assert begin(journal, draft())[0].token == first.token
    journal.add([(first, APPLIED)])
    assert begin(journal, draft())[0].number == 4


def test_a_batch_returns_the_open_attempt_of_a_blocked_symbol(journal: Journal) -> None:
    """A batch is recorded in one transaction; a symbol with an open attempt returns that one, in its place."""
    [first] = begin(journal, draft("SOLUSDT"))
    drafts = [draft("BTCUSDT"), draft("SOLUSDT"), draft("ETHUSDT")]
    begun = begin(journal, *drafts)
    assert [attempt.token for attempt in begun] == [drafts[0].token, first.token, drafts[2].token]
    assert [attempt.number for attempt in begun] == [2, 1, 3]
    found = [(attempt, APPLIED) for attempt in begun]
    assert [attempt.status for attempt in journal.add(found)] == ["applied"] * 3
    assert journal.attempts("key 1", open_only=True) == []


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(journal: Journal) -> None:
    """An error at one attempt or finding leaves nothing of its batch in the journal."""
    stamps = iter((1, 2))
    with pytest.raises(StopIteration):
        journal.begin([draft("BTCUSDT"), draft("ETHUSDT"), draft("SOLUSDT")], lambda: next(stamps))
    assert journal.attempts("key 1") == []
    begun = begin(journal, draft("BTCUSDT"), draft("ETHUSDT"))
    stranger = replace(begun[1], token="of another file")
    with pytest.raises(JournalUnusable):
        journal.add([(begun[0], APPLIED), (stranger, APPLIED)])
    assert all(attempt.is_open for attempt in journal.attempts("key 1"))


def test_accounts_are_separate(journal: Journal) -> None:
    """Attempts of one key are not visible to another key, but through every address of the exchange."""
    [mine] = begin(journal, draft())
    assert journal.attempts("key 2") == []
    assert journal.find("key 2", mine.token) is None
    assert journal.latest("key 2", ["BTCUSDT"])["BTCUSDT"].open is None
    assert [attempt.address for attempt in journal.attempts("key 1")] == ["http://here"]


def test_the_last_attempts_come_oldest_first(journal: Journal) -> None:
    """The last attempts are returned oldest first, in the requested number; or only the open ones."""
    begun = begin(journal, *(draft(f"S{number}USDT") for number in range(4)))
    journal.add([(begun[1], APPLIED)])
    assert [attempt.number for attempt in journal.attempts("key 1", last=2)] == [3, 4]
    assert [attempt.number for attempt in journal.attempts("key 1", open_only=True)] == [1, 3, 4]


def test_the_latest_entries_of_several_symbols_are_read_together(journal: Journal) -> None:
    """One access returns the open attempt and the latest applied answer of each symbol."""
    [first, other] = begin(journal, draft("BTCUSDT"), draft("ETHUSDT"))
    read = replace(APPLIED, source="symbolConfig", value=11, as_of=NOW)
    journal.add([(first, APPLIED), (other, read)])
    [second] = begin(journal, draft("BTCUSDT"))
    latest = journal.latest("key 1", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    assert latest["BTCUSDT"].open == second
    assert latest["BTCUSDT"].of("leverage") == Applied("leverage", 10, NOW)
    assert (latest["ETHUSDT"].open, latest["ETHUSDT"].applied) == (None, ())  # a read is not an answer
    assert (latest["SOLUSDT"].open, latest["SOLUSDT"].applied) == (None, ())


def test_a_settled_attempt_is_not_settled_twice(journal: Journal) -> None:
    """The first closing finding counts against a later read; the exchange's own answer is added all the same."""
    [begun] = begin(journal, draft())
    not_applied = Finding(NOW, "symbolConfig", "not_applied", closes=True, value=20, as_of=NOW)
    journal.add([(begun, not_applied)])
    superseded = Finding(NOW, "symbolConfig", "superseded", closes=True, value=33, as_of=NOW)
    for late in (superseded, UNKNOWN):
        [kept] = journal.add([(begun, late)])
        assert (kept.status, len(kept.findings)) == ("not_applied", 1)
    assert journal.add([(begun, APPLIED)])[0].status == "applied"


def test_profiles_belong_to_the_account_they_were_first_used_with(journal: Journal, path: Path) -> None:
    """A profile stays bound to the account that it was first used with."""
    assert journal.bind_profile("testnet", "sub1", "alias 1") == "alias 1"
    assert Journal(path).bind_profile("testnet", "sub1", "alias 2") == "alias 1"
    assert journal.bind_profile("mainnet", "sub1", "alias 2") == "alias 2"


def test_each_version_of_the_tiers_is_stored_once(journal: Journal) -> None:
    """The same tiers again update the time; other tiers return the version before."""
    assert journal.see_tiers("key 1", "a", lambda: "content a") is None
    assert journal.see_tiers("key 1", "a", lambda: pytest.fail("it is there already")) is None
    before = journal.see_tiers("key 1", "b", lambda: "content b")
    assert before is not None
    assert before.digest == "a"
    assert before.last_seen_at >= before.first_seen_at
    assert [seen.digest for seen in journal.seen_tiers("key 1")] == ["a", "b"]
    assert (journal.tiers("a"), journal.seen_tiers("key 2")) == ("content a", [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # other threads run on purpose
def test_a_forked_process_needs_its_own_journal(journal: Journal, path: Path) -> None:
    """In a forked process the parent's journal refuses to work, and the parent's attempts are not its own."""
    begin(journal, draft())

    def use_in_the_child() -> None:
        with pytest.raises(ForkedProcess):
            journal.attempts("key 1")
        own = Journal(path)
        [attempt] = begin(own, draft("ETHUSDT"))
        assert attempt.is_ours
        assert not own.attempts("key 1")[0].is_ours

    child = multiprocessing.get_context("fork").Process(target=use_in_the_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert [attempt.is_ours for attempt in journal.attempts("key 1")] == [True, False]


def test_a_finding_that_cannot_be_recorded_is_still_reported(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was made is reported as applied, with a warning that it could not be recorded."""

    def fail(*arguments: Any, **named: Any) -> Any:
        raise JournalUnusable("The journal x cannot be used: the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "add", fail)
        change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.after) == ("applied", 10)
    assert "This could not be recorded: The journal x cannot be used" in change.note
    assert [one.status for one in service_of(account).past.open()] == ["unknown"]  # settled at the next contact


def test_a_journal_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal in memory leaves no file, and is empty after it was closed."""
    monkeypatch.chdir(tmp_path)
    journal = Journal(MEMORY)
    begin(journal, draft())
    assert len(journal.attempts("key 1")) == 1
    journal.close()
    assert journal.attempts("key 1") == []
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_finding_is_not_added_to_another_attempt(journal: Journal, path: Path, tmp_path: Path) -> None:
    """If the file was replaced during a change, its finding is not added to another attempt."""
    [mine] = begin(journal, draft())
    path.rename(tmp_path / "kept.sqlite")
    [other] = begin(Journal(path), draft("ETHUSDT"))
    assert other.number == mine.number
    with pytest.raises(JournalUnusable, match="replaced during a change"):
        journal.add([(mine, APPLIED)])
    assert [attempt.status for attempt in journal.attempts("key 1")] == ["unknown"]


def test_times_are_stored_to_the_microsecond(journal: Journal) -> None:
    """A time is read back as it was stored, in any time zone."""
    [begun] = begin(journal, draft())
    assert abs(datetime.now(tz=UTC) - begun.begun_at) < timedelta(minutes=1)
    [again] = journal.attempts("key 1")
    assert again.begun_at == begun.begun_at
