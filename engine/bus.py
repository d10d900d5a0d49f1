"""Thread-safe publish and subscribe. Readers take batches at their own pace; a slow one loses log lines only, and is told how many."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from .events import Dropped, Event, TaskLog

RING_EVENTS = 20_000
"""Events kept for readers that come late."""

MAX_PENDING_LOGS = 50_000
"""Log lines that one reader may leave untaken before more are dropped."""


class Bus:
    """The one place where engine events are published."""

    def __init__(self, ring_events: int = RING_EVENTS) -> None:
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque(maxlen=ring_events)
        self._next_seq = 0
        self._subscriptions: tuple[Subscription, ...] = ()

    @property
    def next_seq(self) -> int:
        """Sequence number that the next event will get."""
        return self._next_seq

    def publish(self, event: Event) -> None:
        """Hand `event` to every reader; never blocks on one."""
        with self._lock:
            self._ring.append(event)
            self._next_seq += 1
            subscriptions = self._subscriptions
            for subscription in subscriptions:
                subscription._offer(event)

    def subscribe(
        self,
        *,
        since: int | None = None,
        max_pending_logs: int = MAX_PENDING_LOGS,
        on_ready: Callable[[], None] | None = None,
    ) -> Subscription:
        """Open a reader.

        Args:
            since: replay the kept events from this sequence number on; None starts with the next event.
            max_pending_logs: log lines that may wait untaken before more are dropped.
            on_ready: called (on the publisher's thread, must not block) when the first event waits after a take.
        """
        subscription = Subscription(self, max_pending_logs, on_ready)
        with self._lock:
            if since is not None:
                first_kept = self._next_seq - len(self._ring)
                for event in list(self._ring)[max(0, since - first_kept) :]:
                    subscription._offer(event)
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)


class Subscription:
    """One reader's queue. `take` from one thread at a time."""

    def __init__(self, bus: Bus, max_pending_logs: int, on_ready: Callable[[], None] | None) -> None:
        self._bus = bus
        self._condition = threading.Condition()
        self._events: list[Event] = []
        self._pending_logs = 0
        self._max_pending_logs = max_pending_logs
        self._dropped = 0
        self._on_ready = on_ready
        self._closed = False

    def take(self, timeout_s: float = 0.0) -> list[Event]:
        """Return all waiting events, oldest first; wait up to `timeout_s` for the first one."""
        with self._condition:
            if not self._events and not self._closed and timeout_s > 0:
                self._condition.wait_for(lambda: bool(self._events) or self._closed, timeout_s)
            batch, self._events = self._events, []
            self._pending_logs = 0
            if self._dropped:
                batch.append(Dropped(count=self._dropped))
                self._dropped = 0
            return batch

    def batches(self, *, per_second: float = 30.0, until: Callable[[], bool]) -> Iterator[list[Event]]:
        """Yield batches, at most `per_second` of them, until `until()` is true and nothing is left."""
        pause_s = 1.0 / per_second
        while True:
            finished = until()
            batch = self.take(0.0 if finished else pause_s)
            if batch:
                yield batch
            if finished and not batch:
                return
            if not finished and batch:
                time.sleep(pause_s)

    def close(self) -> None:
        """Stop reading; waiting events are let go."""
        self._bus._unsubscribe(self)
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _offer(self, event: Event) -> None:
        with self._condition:
            if isinstance(event, TaskLog):
                if self._pending_logs >= self._max_pending_logs:
                    self._dropped += 1
                    return
                self._pending_logs += 1
            first = not self._events
            self._events.append(event)
            if first:
                self._condition.notify_all()
        if first and self._on_ready is not None:
            self._on_ready()
