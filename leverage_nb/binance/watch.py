"""Callbacks that follow an account. One stream serves all of them, and runs while there is at least one."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from weakref import WeakMethod

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event, StreamEvent, StreamState
from leverage_nb.binance.user_stream import Pace, Stream
from leverage_nb.change import Change


class Watch:
    """The handle of one callback. Close it, or leave its ``with`` block, to stop the callback.

    Attributes:
        state: The state of the stream: see :class:`~leverage_nb.binance.events.StreamEvent`.
        live: Whether events have arrived on the present connection.
    """

    def __init__(self, watchers: Watchers, callback: Callable[[], Callable[[Event], object] | None]) -> None:
        self._watchers = watchers
        self.callback = callback

    @property
    def state(self) -> StreamState:
        """The state of the stream: "connecting", "connected", "live" or "stale"."""
        return self._watchers.state

    @property
    def live(self) -> bool:
        """Whether events have arrived on the present connection."""
        return self.state == "live"

    def close(self) -> None:
        """Stop calling the callback."""
        self._watchers.remove(self)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Watchers:
    """All callbacks that follow one account.

    Args:
        client: The client of the account.
        pace: The speed of time and the pauses of the stream; None for real time.
    """

    def __init__(self, client: RestClient, pace: Pace | None = None) -> None:
        self._client = client
        self._pace = pace
        self._lock = threading.RLock()
        self._watches: list[Watch] = []
        self._stream: Stream | None = None
        self._stream_number = 0

    @property
    def state(self) -> StreamState:
        """The state of the stream; "stale" without one."""
        stream = self._stream
        return stream.state if stream is not None else "stale"

    def watch(self, callback: Callable[[Event], object]) -> Watch:
        """Call a callback with every event from now on; at once with the state of the stream.

        A bound method does not keep its object alive: the watch ends with the object.
        """
        reference: Any = WeakMethod(callback) if inspect.ismethod(callback) else lambda: callback
        watch = Watch(self, reference)
        with self._lock:
            self._watches.append(watch)
            now = datetime.now().astimezone()
            if self._stream is not None:
                known = StreamEvent(self._stream.state, self._stream.reason, now)
            elif url := self._client.venue.stream_url:
                known = StreamEvent("connecting", "", now)
                self._stream_number = number = self._stream_number + 1
                self._stream = Stream(self._client, url, lambda event: self._notify(number, event), self._pace)
            else:
                known = StreamEvent("stale", "its address is not known: connect(stream_url=...) sets it", now)
            with suppress(Exception):  # as for later events
                callback(known)
        return watch

    def note_change(self, change: Change) -> None:
        """Expect the event of a change that was made here: without it, the stream is stale."""
        if (stream := self._stream) is not None:
            stream.note_change(change)

    def remove(self, watch: Watch) -> None:
        """Stop calling a callback; close the stream if it was the last one."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
            self._close_unused_stream()

    def close(self) -> None:
        """Remove all callbacks and close the stream."""
        with self._lock:
            self._watches = []
            self._close_unused_stream()

    def _close_unused_stream(self) -> None:
        if not self._watches and self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def _notify(self, number: int, event: Event) -> None:
        if number != self._stream_number or self._stream is None:
            return  # an event of a stream that was closed is out of date
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            callback = watch.callback()
            if callback is None:
                self.remove(watch)
                continue
            with suppress(Exception):  # a callback that fails must not affect the others
                callback(event)
