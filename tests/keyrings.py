"""Keyrings in memory, and one that keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class ForgetfulRing(Ring):
    """A keyring that accepts everything and keeps nothing of it."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return


class StubbornRing(Ring):
    """A keyring that removes nothing."""

    def delete_password(self, service: str, username: str) -> None:
        return


class PlaintextKeyring(Ring):
    """A keyring with the name that keyrings.alt gives to its unencrypted file."""

    file_path = "/home/me/keyring_pass.cfg"


@contextmanager
def using(ring: KeyringBackend) -> Iterator[None]:
    """Make a keyring the system's within the block."""
    before = keyring.get_keyring()
    keyring.set_keyring(ring)
    try:
        yield
    finally:
        keyring.set_keyring(before)
