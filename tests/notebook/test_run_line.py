"""A line makes the change or plan that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeNotSent,
    InvalidInput,
    NotConfirmed,
    NothingToUndo,
    WrongMode,
)
from leverage_nb.session import current
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.notebook.commands import run, run_cell, without_prompt


@pytest.mark.parametrize(
    ("line", "symbol", "after"),
    [
        ("BTCUSDT 10", "BTCUSDT", 10), ("btcusdt 11x", "BTCUSDT", 11), ("BTC/USDT 12 # lower", "BTCUSDT", 12),
        ("BTC/USDT:USDT 13", "BTCUSDT", 13), ("哈基米USDT 2", "哈基米USDT", 2), ("BTCUSDT 14 -y", "BTCUSDT", 14),
        ("42USDT 5", "42USDT", 5),
    ],
)  # fmt: skip
def test_symbol_and_leverage_make_a_change(shell: InteractiveShell, line: str, symbol: str, after: int) -> None:
    """Every spelling of symbol and leverage makes the change, and returns its record."""
    change = run(shell, line)
    assert isinstance(change, LeverageChange)
    assert current().setting(symbol).leverage == after == (change.after or 0)


def test_an_unreachable_exchange_is_not_sent(shell: InteractiveShell, simulator: Simulator) -> None:
    """If the connection is refused, nothing was sent."""
    gone = connect_to(simulator, "testnet")
    gone.tiers("BTCUSDT")
    gone.margin_asset("BTCUSDT")
    simulator.close()
    with pytest.raises(ChangeNotSent):
        run(shell, "BTCUSDT 10 --venue testnet")


def test_dry_run_sends_nothing(shell: InteractiveShell) -> None:
    """--dry-run returns the preview, and sends nothing."""
    preview = run(shell, "BTCUSDT 10 --dry-run")
    assert isinstance(preview, Preview)
    assert current().setting("BTCUSDT").leverage == 20
    for shown in (str(preview), preview._repr_html_()):
        for part in (
            "leaves 50,506.25 USDT available",
            "21,603.12 → 43,206.25",
            "liquidation 67,819.10, not affected by leverage",
        ):
            assert part in shown


def test_a_change_shows_its_effects(shell: InteractiveShell) -> None:
    """The record of a change contains what the preview expected, before and after."""
    change = run(shell, "BTCUSDT 10")
    assert ("available", "72,109.38 → 50,506.25 USDT") in change.effects
    assert "72,109.38 → 50,506.25 USDT" in str(change)


def test_max_is_the_highest_leverage_that_fits(shell: InteractiveShell) -> None:
    """The word max is the highest leverage that fits notional, exposure and guard."""
    assert run(shell, "BTCUSDT max").after == 100  # the exposure is 432,062.50, and 150x allows 300,000
    assert run(shell, "BTCUSDT max --notional 2m").after == 75
    assert run(shell, "BTCUSDT MAX --notional 2,000,000.5").status == "unchanged"
    shell.run_cell("%config LeverageMagics.max_leverage = 30").raise_error()
    assert run(shell, "BTCUSDT max").after == 30
    with pytest.raises(ChangeNotSent, match="above your guard of 30x"):
        run(shell, "BTCUSDT 31 --force -y")


def test_history_lists_changes_and_undo_takes_back_the_last(shell: InteractiveShell) -> None:
    """--history lists the changes of some or all symbols; --undo takes back the last, with a dry run too."""
    run(shell, "BTCUSDT 10")
    run(shell, "XRPUSDT 20")
    assert run(shell, "--history")["symbol"].tolist() == ["BTCUSDT", "XRPUSDT"]
    assert run(shell, "btcusdt --history")["requested"].tolist() == [10]
    preview = run(shell, "--undo -n")
    assert isinstance(preview, Preview)
    assert "Undoes XRPUSDT 50x → 20x" in str(preview)
    undone = run(shell, "--undo")
    assert (undone.symbol, undone.after) == ("XRPUSDT", 50)
    assert run(shell, "--undo").after == 20
    with pytest.raises(NothingToUndo, match="no change left to undo"):
        run(shell, "--undo")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--history --undo", "one at a time"), ("BTCUSDT --undo", "--undo takes neither"),
        ("--undo --notional 5", "--undo takes neither"),
        ("BTCUSDT 10 --history", "--history takes no leverage"), ("BTCUSDT 10 --undo", "--undo takes neither"),
    ],
)  # fmt: skip
def test_history_and_undo_refuse_other_arguments(shell: InteractiveShell, line: str, words: str) -> None:
    """--history and --undo refuse arguments that have no meaning for them, and nothing is undone."""
    run(shell, "BTCUSDT 10")
    with pytest.raises(InvalidInput, match=words):
        run(shell, line)
    assert current().setting("BTCUSDT").leverage == 10


def test_a_line_shows_what_is_being_verified(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a definite answer a line below the cell shows what is verified, and until when."""
    connect_to(simulator, recv_window=1000, grace=0.05)
    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        run(shell, "BTCUSDT 10")
    assert (
        "No definite answer about BTCUSDT 20x → 10x; verifying with the exchange, final by" in capsys.readouterr().out
    )


def test_a_cell_is_applied_as_a_plan(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """%%leverage shows the plan, applies it and returns its outcome; -n only shows it."""
    cell = "BTCUSDT 10  # the big one\n\n# nothing\nxrpusdt max\n"
    plan = run_cell(shell, "-n", cell)
    assert isinstance(plan, Plan)
    assert current().setting("BTCUSDT").leverage == 20
    done = run_cell(shell, "", cell)
    assert {row.symbol: row.status for row in done.rows} == {"BTCUSDT": "applied", "XRPUSDT": "applied"}
    assert "2 to change" in capsys.readouterr().out
    undone = run(shell, "--undo")
    assert isinstance(undone, Plan)
    assert current().setting("BTCUSDT").leverage == 20
    assert "unchanged" in repr(run_cell(shell, "", "BTCUSDT 20"))


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        ("", "BTCUSDT 10\nETHUSDT\n", "line 2: “ETHUSDT” is not a symbol with a leverage, a margin type or both"),
        ("", "BTCUSDT 10\nETHUSDT 0\n", "line 2: 0 is not a leverage for ETHUSDT"),
        ("", "BTCUSTD 10\n", "line 1: BTCUSTD is not a symbol"), ("", "# nothing\n", "plan is empty"),
        ("BTCUSDT", "BTCUSDT 10\n", "takes only -n, -y, --force, --expect, --venue and --profile"),
    ],
)  # fmt: skip
def test_an_invalid_line_sends_nothing(shell: InteractiveShell, line: str, cell: str, words: str) -> None:
    """An invalid line is named by its number, and no other line is sent."""
    with pytest.raises(InvalidInput, match=words):
        run_cell(shell, line, cell)
    assert current().setting("BTCUSDT").leverage == 20


def test_several_symbols_go_to_one_leverage(shell: InteractiveShell) -> None:
    """Several symbols and a leverage in one line are a plan: shown with -n, otherwise applied."""
    planned = run(shell, "BTCUSDT SOLUSDT xrp/usdt 20 -n")
    assert {row.symbol: row.verdict for row in planned.rows} == {
        "BTCUSDT": "unchanged", "SOLUSDT": "unchanged", "XRPUSDT": "ok",
    }  # fmt: skip
    done = run(shell, "BTCUSDT,SOLUSDT XRPUSDT 15")
    assert {row.symbol: row.status for row in done.rows} == {
        "BTCUSDT": "applied", "SOLUSDT": "applied", "XRPUSDT": "applied",
    }  # fmt: skip
    assert current().setting("XRPUSDT").leverage == 15


def test_a_cap_lowers_what_is_above_it(shell: InteractiveShell) -> None:
    """--cap lowers every leverage above it, of all symbols or of those that are named, and leaves the others."""
    before = current().settings()["leverage"]
    assert run(shell, "--cap 60").headline.startswith("Plan of 44 rows: nothing to do")
    assert "XRPUSDT" not in repr(run(shell, "--cap 20 BTCUSDT SOLUSDT"))
    assert [row.symbol for row in run(shell, "--cap 20 -n").to_send] == ["XRPUSDT"]
    assert current().setting("XRPUSDT").leverage == 50
    run(shell, "--cap 20")
    after = current().settings()["leverage"]
    assert after["XRPUSDT"] == 20
    assert after.drop("XRPUSDT").equals(before.drop("XRPUSDT"))
    assert [row.symbol for row in run(shell, "BTCUSDT <= 5 -n").to_send] == ["BTCUSDT"]


def test_expected_modes_are_checked(shell: InteractiveShell) -> None:
    """--expect stops a plan with an error that names both modes; nothing is sent then."""
    for line, cell in (("--expect hedge,multi-assets", "BTCUSDT 10"), ("--expect hedge", "BTCUSDT 10")):
        with pytest.raises(WrongMode, match="is in one-way mode"):
            run_cell(shell, line, cell)
    for line in ("BTCUSDT 10 --expect multi-assets", "--cap 20 --expect multi-assets"):
        with pytest.raises(WrongMode, match="is in single-asset mode, but the plan expects multi-assets mode"):
            run(shell, line)
    assert current().history().empty
    done = run_cell(shell, "--expect one-way,single-asset", "BTCUSDT 10")
    assert [row.status for row in done.rows] == ["applied"]


def test_a_policy_is_reported_and_applied_only_with_apply(
    shell: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--policy reports what differs and sends nothing; --apply shows the plan, and makes its changes."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 20")
    for line in (f"--policy {path}", f"--policy {path} -n", f"--policy {path} --apply -n"):
        assert run(shell, line).headline == "Policy risk.toml: 1 of 44 symbols differ"
    assert current().setting("XRPUSDT").leverage == 50
    capsys.readouterr()
    done = run(shell, f"--policy {path} --apply")
    assert "1 of 44 symbols differ" in capsys.readouterr().out
    assert {row.symbol for row in done.rows if row.status == "applied"} == {"XRPUSDT"}
    assert current().setting("XRPUSDT").leverage == 20
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        run(shell, f"--policy {tmp_path / 'none.toml'}")


def test_several_profiles_are_changed_after_one_question(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line, a cell or a policy for several profiles is one result; on mainnet one question names every account."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 15\n[caps]\nXRPUSDT = 18\nETHUSDT = 20")
    asked: list[str] = []
    with Simulator() as other:
        labels = [connect_to(simulator, "mainnet").label, connect_to(other, "mainnet", profile="sub1").label]
        where = "--venue mainnet --profile no-profile,sub1"
        assert run(shell, f"BTCUSDT 10 -n {where}").headline == "Plans of 2 profiles: 2 to send"
        assert run(shell, f"* <=15 -n {where}").count().keys() == {"no-profile", "sub1"}
        assert run_cell(shell, f"-n {where}", "BTCUSDT 10\nSOLUSDT 10").headline.endswith("4 to send")
        report = run(shell, f"--policy {path} {where}")
        count = sum(report.count().values())
        for answer, outcome in (("yes", None), (str(count), "applied")):
            monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
            done = run(shell, f"--policy {path} --apply {where}")
            assert done is None if outcome is None else f"{count} applied" in done.headline
        assert all(label in asked[0] for label in labels)
        assert f"MAINNET: send {count} changes (" in asked[0]
        for line in ("BTCUSDT", "--history", "--undo", "BTCUSDT max --notional 2m"):
            with pytest.raises(InvalidInput, match="Several profiles go with changes of leverage"):
                run(shell, f"{line} {where}")


def test_a_line_changes_margin_type_and_leverage(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Margin type and leverage in one line are a plan; to cross it asks first, on every venue."""
    done = run(shell, "ADAUSDT 10 isolated")
    assert [(row.kind, row.status) for row in done.rows] == [("margin type", "applied"), ("leverage", "applied")]
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed, match="cannot ask"):
        run(shell, "ADAUSDT cross 12")
    with pytest.raises(NotConfirmed, match="cannot ask"):
        run(shell, "ADAUSDT --cross")
    assert run(shell, "ADAUSDT --cross -y").headline == "ADAUSDT isolated → cross applied"
    assert run(shell, "ADAUSDT --isolated -n").verdict == "ok"
    assert current().setting("ADAUSDT").margin_type == "cross"
    assert (
        run_cell(shell, "", "ADAUSDT 10 isolated\nXRPUSDT isolated").headline
        == "Plan of 3 rows: 2 applied, 1 unchanged"
    )


def test_a_line_adds_margin_and_takes_it_out(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """Margin is added or taken out by a line; in a loop it prints one line."""
    assert run(shell, "ETHUSDT --add-margin 1.5k").headline == "ETHUSDT isolated margin +1,500 USDT applied"
    run(shell, "ETHUSDT --reduce-margin 500\n1")
    assert "ETHUSDT isolated margin −500 USDT applied, SIMULATOR" in capsys.readouterr().out
    assert run(shell, "ETHUSDT --add-margin 10 -n").verdict == "ok"
    assert len(current().history()) == 2
