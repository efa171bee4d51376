"""One WebSocket of the user-data stream. Imported on first use, because websockets loads slowly."""

from __future__ import annotations

import logging
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from leverage_nb.binance.venues import is_loopback

# An event has about 200 bytes per position: this is enough for thousands. A longer message ends the connection.
MAX_MESSAGE = 1024 * 1024


class _KeyFilter(logging.Filter):
    """Drop the records below WARNING: websockets logs the address, which holds the listen key, at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


class _WithoutRedirects(ClientConnection):
    """A connection that follows no redirect: it would send the listen key to another address."""

    def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Shake hands; an answer of 3xx is a refusal, as any other but 101."""
        redirected = False
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as exc:
            redirected = 300 <= exc.response.status_code < 400
            if not redirected:
                raise
        if redirected:
            raise InvalidHandshake("the server redirects the stream to another address")


def open_connection(url: str, *, timeout: float, ping_every: float) -> ClientConnection:
    """Connect to an address of the stream.

    Args:
        url: The address, with the listen key.
        timeout: Seconds to connect.
        ping_every: Seconds between pings, and within which a ping must be answered.

    Raises:
        InvalidHandshake: The server refuses the connection.
        OSError, EOFError: It cannot be reached, or does not answer in time.
    """
    return connect(
        url,
        open_timeout=timeout,
        close_timeout=1,
        ping_interval=ping_every,
        ping_timeout=ping_every,
        logger=_logger(),
        max_size=MAX_MESSAGE,
        create_connection=_WithoutRedirects,
        # Decided by the stream's own address, because REST may be elsewhere: a listen key for this machine does not
        # leave it.
        **({"proxy": None} if is_loopback(url) else {}),
    )


def _logger() -> logging.Logger:
    logger = logging.getLogger("leverage_nb.stream")
    if not logger.filters:
        logger.addFilter(_KeyFilter())
    return logger
