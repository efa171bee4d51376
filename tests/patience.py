"""Shorter time-outs for a moment, around the requests that are never answered. All others have as long as usual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leverage_nb.account import Account, service_of


@contextmanager
def verifying_at_most(account: Account, seconds: float = 3.0) -> Iterator[None]:
    """Give up every request, and the search for an outcome after its deadline, within a few seconds."""
    client = service_of(account).client
    patient, client.timeout = client.timeout, seconds
    try:
        yield
    finally:
        client.timeout = patient


@contextmanager
def giving_up_soon(account: Account, seconds: float = 0.5) -> Iterator[None]:
    """Let changes, and no reads, wait for their answer for a short time: for faults that never answer."""
    client = service_of(account).client
    post = client.post

    def post_impatiently(*arguments: Any) -> Any:
        with verifying_at_most(account, seconds):
            return post(*arguments)

    client.post = post_impatiently  # type: ignore[method-assign]
    try:
        yield
    finally:
        client.post = post  # type: ignore[method-assign]
