"""The bus: order, replay, and what a slow reader loses."""

from __future__ import annotations

import logging
import threading

from engine.bus import Bus
from engine.events import Dropped, EnvChanged, TaskLog


def _log(number: int) -> TaskLog:
    return TaskLog(task_id="t", level=logging.INFO, logger="test", message=str(number))


def test_a_reader_gets_events_in_the_order_they_were_published() -> None:
    bus = Bus()
    reader = bus.subscribe()
    for number in range(5):
        bus.publish(_log(number))
    assert [event.message for event in reader.take() if isinstance(event, TaskLog)] == ["0", "1", "2", "3", "4"]


def test_a_late_reader_replays_from_the_number_it_names() -> None:
    bus = Bus()
    bus.publish(_log(0))
    since = bus.next_seq
    bus.publish(_log(1))
    assert [event.message for event in bus.subscribe(since=since).take() if isinstance(event, TaskLog)] == ["1"]


def test_a_slow_reader_loses_log_lines_only_and_is_told_how_many() -> None:
    bus = Bus()
    reader = bus.subscribe(max_pending_logs=2)
    for number in range(5):
        bus.publish(_log(number))
    bus.publish(EnvChanged(env="/e", exists=True))
    batch = reader.take()
    assert [type(event) for event in batch] == [TaskLog, TaskLog, EnvChanged, Dropped]
    assert isinstance(batch[-1], Dropped)
    assert batch[-1].count == 3


def test_a_closed_reader_wakes_at_once() -> None:
    reader = Bus().subscribe()
    closer = threading.Timer(0.05, reader.close)
    closer.start()
    assert reader.take(timeout_s=30) == []


def test_batches_end_when_the_work_has_ended_and_nothing_is_left() -> None:
    bus = Bus()
    reader = bus.subscribe()
    bus.publish(_log(0))
    assert sum(len(batch) for batch in reader.batches(until=lambda: True)) == 1
