"""Watching: one stream an account, however many follow it; it runs while somebody does."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from weakref import WeakMethod

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event, StreamEvent
from leverage_nb.binance.user_stream import Pace, Stream


class Watch:
    """A handle on what follows an account.

    Attributes:
        live: Whether events are coming now.
    """

    def __init__(self, watching: Watching, callback: Callable[[], Callable[[Event], object] | None]) -> None:
        self._watching = watching
        self.callback = callback

    @property
    def live(self) -> bool:
        """Whether events are coming now."""
        return self._watching.live

    def close(self) -> None:
        """Follow no longer."""
        self._watching.remove(self)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Watching:
    """All that follow one account.

    Args:
        client: Whose account.
        pace: How time passes for the stream.
    """

    def __init__(self, client: RestClient, pace: Pace | None = None) -> None:
        self._client = client
        self.pace = pace
        self._lock = threading.RLock()
        self._watches: list[Watch] = []
        self._stream: Stream | None = None
        self._turn = 0  # which stream it is

    @property
    def live(self) -> bool:
        """Whether events are coming now."""
        return self._stream is not None and self._stream.live

    def watch(self, callback: Callable[[Event], object]) -> Watch:
        """Tell a callback every event from now on."""
        hold: Any = WeakMethod(callback) if inspect.ismethod(callback) else lambda: callback
        watch = Watch(self, hold)
        told: StreamEvent | None = None
        with self._lock:
            self._watches.append(watch)
            if not self._client.venue.stream_url:
                reason = "no address of its streams is known: connect(stream_url=...) names one"
                told = StreamEvent(False, reason, datetime.now().astimezone())
            elif self._stream is None:
                self._turn = turn = self._turn + 1
                url = self._client.venue.stream_url
                self._stream = Stream(self._client, url, lambda event: self._tell(turn, event), self.pace)
            elif self._stream.live:
                told = StreamEvent(True, "", datetime.now().astimezone())
            if told is not None:
                with suppress(Exception):  # the same holds for what it is told later
                    callback(told)
        return watch

    def remove(self, watch: Watch) -> None:
        """Tell it nothing more; with the last one the stream ends."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
            self._end_if_alone()

    def close(self) -> None:
        """End the stream, whoever follows."""
        with self._lock:
            self._watches = []
            self._end_if_alone()

    def _end_if_alone(self) -> None:
        if not self._watches and self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def _tell(self, turn: int, event: Event) -> None:
        if turn != self._turn or self._stream is None:
            return  # what a stream that was closed still has to say is old
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            callback = watch.callback()
            if callback is None:
                self.remove(watch)
                continue
            with suppress(Exception):  # one that fails must not keep others from hearing
                callback(event)
