"""Nothing is sent without the answer that a question asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.errors import (
    ChangeNotSent,
    NotConfirmed,
)
from leverage_nb.session import current
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.notebook.commands import run, run_cell, without_prompt


def test_mainnet_shows_the_preview_before_the_question(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mainnet shows the preview before the question; a change elsewhere during the question stops it."""

    def reply(question: str) -> str:
        assert "[MAINNET] BTCUSDT 20x → 10x leaves" in capsys.readouterr().out
        simulator.exchange.account.set_leverage("BTCUSDT", 18)
        return "yes"

    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", reply)
    with pytest.raises(ChangeNotSent, match="has changed since the preview"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == 18
    with pytest.raises(ChangeNotSent, match=r"above your guard of 20x \(the default on mainnet\)"):
        run(shell, "BTCUSDT 21 --venue mainnet -y")


def test_undo_asks_for_a_confirmation_on_mainnet(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mainnet asks before an undo, and sends nothing without a yes."""
    account = connect_to(simulator, "mainnet")
    account.set_leverage("BTCUSDT", 10)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "no")
    assert run(shell, "--undo --venue mainnet") is None
    assert "change BTCUSDT from 10x to 20x?" in asked[0]
    assert account.setting("BTCUSDT").leverage == 10
    assert run(shell, "--undo --venue mainnet -y").after == 20


def test_mainnet_confirms_a_line_of_several_symbols(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several symbols in one line, and a cap, are confirmed on mainnet by the number of changes, as a cell is."""
    account = connect_to(simulator, "mainnet")
    asked: list[str] = []
    for line in ("BTCUSDT SOLUSDT XRPUSDT 10", "--cap 10"):
        monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "1")
        assert run(shell, f"{line} --venue mainnet") is None
    above = account.settings()["leverage"] > 10
    above[list(account.settings().attrs["not_trading"])] = False
    assert [
        f"send {count} changes? Type {count} to confirm" in question
        for count, question in zip((3, above.sum()), asked, strict=True)
    ] == [True, True]
    assert account.setting("BTCUSDT").leverage == 20


def test_mainnet_confirms_a_plan_by_its_number_of_changes(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan on mainnet is applied only if the number of its changes is typed."""
    account = connect_to(simulator, "mainnet")
    cell, asked = "BTCUSDT 10\nSOLUSDT 10\nADAUSDT 20\n", []
    for answer, leverage in (("yes", 20), ("3", 20), ("2", 10)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
        done = run_cell(shell, "--venue mainnet", cell)
        assert account.setting("BTCUSDT").leverage == leverage
        assert (done is None) == (leverage == 20)
    assert f"MAINNET, {account.label}: send 2 changes? Type 2 to confirm: " in asked[0]


def test_a_policy_is_confirmed_on_mainnet(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On mainnet the changes of a policy are made only if their number is typed."""
    account = connect_to(simulator, "mainnet")
    path = tmp_path / "risk.toml"
    path.write_text("cap = 20")
    for answer, leverage in (("yes", 50), ("1", 20)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        run(shell, f"--policy {path} --apply --venue mainnet")
        assert account.setting("XRPUSDT").leverage == leverage


def test_a_forced_change_to_cross_is_confirmed_in_a_plan_too(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --force a plan asks also for a change to cross that the exchange is expected to refuse."""
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "no")
    connect_to(simulator)
    assert run(shell, "ETHUSDT SOLUSDT --cross --force") is None
    assert len(asked) == 1
    assert simulator.exchange.arrivals == []
    assert run(shell, "ETHUSDT SOLUSDT --cross").headline == "Plan of 2 rows: 1 would be refused, 1 unchanged"
    assert len(asked) == 1


def test_a_read_only_account_asks_nothing(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a read-only mainnet account the magic states why nothing is sent, and asks for no confirmation."""
    connect_to(simulator, "mainnet", read_only=True)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    with pytest.raises(ChangeNotSent, match="read_only"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    with pytest.raises(ChangeNotSent, match="read_only"):
        run_cell(shell, "--venue mainnet", "BTCUSDT 10\nXRPUSDT 5")
    assert run(shell, "BTCUSDT 10 --venue mainnet -n").verdict == "ok"


def test_the_question_about_cross_names_what_it_exposes(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question names the balance that would back every position; anything but yes sends nothing."""
    run(shell, "ADAUSDT isolated")
    asked: list[str] = []
    for reply, margin_type in (("no", "isolated"), ("yes", "cross")):
        monkeypatch.setattr("builtins.input", lambda question, reply=reply: asked.append(question) or reply)
        run(shell, "ADAUSDT cross")
        assert current().setting("ADAUSDT").margin_type == margin_type
    assert "backed by the whole cross balance of 94,362.50 USDT?" in asked[0]


def test_a_large_amount_is_named_once_more(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """-y does not send 50,000 typed for 500: the amount is typed again, or named by --confirm."""
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed) as caught:
        run(shell, "ETHUSDT --add-margin 50k -y")
    assert "--confirm 50000" in caught.value.hint
    for reply in ("yes", "500"):
        monkeypatch.setattr("builtins.input", lambda _question, reply=reply: reply)
        with pytest.raises(NotConfirmed, match=r"Nothing was sent\. Run the line again, and type the amount"):
            run(shell, "ETHUSDT --add-margin 50k")
    monkeypatch.setattr("builtins.input", lambda _question: "")
    assert run(shell, "ETHUSDT --add-margin 50k") is None
    assert current().history().empty
    monkeypatch.setattr("builtins.input", lambda _question: "50,000")
    assert run(shell, "ETHUSDT --add-margin 50k").status == "applied"
    assert run(shell, "ETHUSDT --reduce-margin 40k --confirm 40000").status == "applied"


def test_an_undo_of_isolated_margin_asks(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another change, so a person confirms it on every venue."""
    run(shell, "ETHUSDT --add-margin 500")
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed):
        run(shell, "--undo")
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    assert run(shell, "--undo").headline == "ETHUSDT isolated margin −500 USDT undone"


@pytest.mark.parametrize(("answer", "after"), [("yes", 10), ("y", 10), ("no", 20), ("", 20), ("10", 20)])
def test_mainnet_asks_for_a_confirmation(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, answer: str, after: int
) -> None:
    """The question names venue, account, symbol, before and after; any answer but yes changes nothing."""
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", reply)
    run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == after
    assert len(asked) == 1
    for part in ("MAINNET", main.label, "BTCUSDT", "20x", "10x"):
        assert part in asked[0]


def test_without_a_prompt_nothing_is_sent_unless_y_is_given(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-y sends without a question; without it and without a prompt nothing is sent, and the hint names -y."""
    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed, match="-y"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == 20
    assert run(shell, "BTCUSDT 20 --venue mainnet").status == "unchanged"
    assert run(shell, "BTCUSDT 10 --venue mainnet -y").after == 10


def test_a_line_that_is_not_confirmed_says_why_nothing_was_sent(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the answer that was asked for, the line says that it is missing, and that nothing was sent."""
    connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", lambda _question: "")
    for line, reason in (
        ("BTCUSDT 10", "BTCUSDT was not changed, because you did not confirm it. Nothing was sent."),
        ("ETHUSDT --add-margin 50k", "ETHUSDT was not changed, because you did not type the amount. Nothing was sent."),
        ("BTCUSDT SOLUSDT 10", "The plan was not applied, because you did not type 2. Nothing was sent."),
    ):
        assert run(shell, f"{line} --venue mainnet") is None
        assert reason in capsys.readouterr().out
    assert simulator.exchange.arrivals == []


def test_ctrl_d_is_not_an_answer(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D at a question sends nothing, and does not claim that the front end cannot ask."""

    def end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    run(shell, "ADAUSDT isolated")
    with pytest.raises(NotConfirmed, match=r"not answered: the input ended\. Nothing was sent"):
        run(shell, "ADAUSDT cross")
    assert current().setting("ADAUSDT").margin_type == "isolated"


def test_read_only_profiles_are_not_asked_for(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every profile with changes is read-only, no number is asked for: nothing would be sent."""
    connect_to(simulator, "mainnet", profile="sub1", read_only=True)
    connect_to(simulator, "mainnet", profile="sub2", read_only=True)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    done = run(shell, "BTCUSDT SOLUSDT 10 --venue mainnet --profile sub1,sub2")
    assert all("read_only" in problem for problem in done.problems.values())
    assert len(done.problems) == 2
    assert simulator.exchange.arrivals == []


def test_plans_of_profiles_that_cannot_be_sent_say_so(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the exchange would refuse every row, a line says that nothing was sent, for several profiles as for one."""
    for profile in ("", " --profile no-profile,sub1"):
        run(shell, f"BTCUSDT 125 --expect one-way{profile}")
        assert "Nothing was sent: no row of the plan can be sent." in capsys.readouterr().out
