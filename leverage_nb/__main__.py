"""``python -m leverage_nb``: versions, venue, key source (never the key) and reachability, for bug reports."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from leverage_nb import __version__
from leverage_nb.binance.credentials import name_source
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import CredentialsMissing, JournalUnusable, LeverageError
from leverage_nb.journal.journal import Journal
from leverage_nb.session import connect, default_journal
from leverage_nb.terminal import encodable

PACKAGES = (
    "anywidget", "ipykernel", "ipython", "ipywidgets", "jupyterlab", "matplotlib", "msgspec", "numpy", "pandas",
    "requests", "tornado", "websockets",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Print the report; return 1 if the venue could not be reached or refused the key."""
    parser = argparse.ArgumentParser(prog="python -m leverage_nb", description=__doc__)
    parser.add_argument("--venue", default="simulator", choices=sorted(VENUES), help="what to try (default: simulator)")
    parser.add_argument("--profile", help="which sub-account's key")
    options = parser.parse_args(arguments)
    lines = {
        "leverage_nb": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "venue": options.venue,
        "key from": name_source(VENUES[options.venue], options.profile),
        "journal": _journal(),
    }
    reachable, lines["reachable"] = _reach(options.venue, options.profile)
    width = max(map(len, lines))
    print(encodable("\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())))
    return 0 if reachable else 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _journal() -> str:
    try:
        path = default_journal()
        size = path.stat().st_size
        with Journal(path) as journal:
            journal.attempts("")
    except JournalUnusable as exc:
        return exc.message
    except FileNotFoundError:
        return f"{path} (none yet)"
    except OSError as exc:
        return f"{path} cannot be read: {exc.strerror}"
    return f"{path}, {size:,} bytes, usable"


def _reach(venue: str, profile: str | None) -> tuple[bool, str]:
    try:
        with connect(venue, profile=profile, journal=":memory:") as account:
            return True, f"yes, {len(account.symbols())} symbols, {account.label}"
    except CredentialsMissing as exc:
        return False, f"not tried: {exc.message}"
    except LeverageError as exc:
        return False, f"no: {exc}"


if __name__ == "__main__":
    sys.exit(main())
