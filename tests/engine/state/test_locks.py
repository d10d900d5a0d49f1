from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import LeaseLockTimeout, PrefixBusy
from engine.state.locks import LEASE_LOCK, is_locked, lease_lock, lock_holder, prefix_lock

HOLD = (
    "import sys; from pathlib import Path; from engine.state.locks import {name}\nwith {call}: print('held', flush=True); sys.stdin.read()"
)


def holding(name: str, call: str) -> subprocess.Popen[str]:
    """Start another process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(name=name, call=call)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_prefix_that_does_not_exist_can_be_locked(tmp_path: Path) -> None:
    with prefix_lock(tmp_path / "none", "init"):
        assert is_locked(tmp_path / "none")


def test_lock_ends_with_its_block(tmp_path: Path) -> None:
    with prefix_lock(tmp_path, "init"):
        pass

    assert not is_locked(tmp_path)


def test_lock_ends_with_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), prefix_lock(tmp_path, "init"):
        raise ZeroDivisionError

    assert not is_locked(tmp_path)


def test_busy_names_process_and_verb(tmp_path: Path) -> None:
    with (
        prefix_lock(tmp_path, "start"),
        pytest.raises(PrefixBusy, match=rf"process {os.getpid()} runs 'start'"),
        prefix_lock(tmp_path, "x"),
    ):
        pass


def test_threads_of_one_process_keep_each_other_out(tmp_path: Path) -> None:
    seen: list[type[BaseException]] = []

    def contend() -> None:
        try:
            with prefix_lock(tmp_path, "stop"):
                pass
        except PrefixBusy as busy:
            seen.append(type(busy))

    with prefix_lock(tmp_path, "start"):
        thread = threading.Thread(target=contend)
        thread.start()
        thread.join(60)

    assert seen == [PrefixBusy]


def test_a_link_to_a_prefix_is_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")

    with prefix_lock(tmp_path / "a", "start"):
        assert is_locked(tmp_path / "b")


def test_other_prefixes_stay_free(tmp_path: Path) -> None:
    with prefix_lock(tmp_path / "a", "start"):
        assert not is_locked(tmp_path / "b")


def test_killed_holder_keeps_nothing(tmp_path: Path) -> None:
    process = holding("prefix_lock", f"prefix_lock(Path({str(tmp_path)!r}), 'start')")
    holder = lock_holder(tmp_path)
    end(process)

    assert (holder is not None and holder.pid == process.pid, lock_holder(tmp_path)) == (True, None)
    with prefix_lock(tmp_path, "stop"):
        pass


def test_waiting_gets_the_lock_when_the_holder_leaves(tmp_path: Path) -> None:
    process = holding("prefix_lock", f"prefix_lock(Path({str(tmp_path)!r}), 'start')")
    timer = threading.Timer(0.1, process.kill)
    timer.start()

    with prefix_lock(tmp_path, "stop", timeout_s=60):
        assert is_locked(tmp_path)
    process.communicate()


def test_lease_lock_times_out(tmp_path: Path) -> None:
    process = holding("lease_lock", f"lease_lock(Path({str(tmp_path)!r}))")

    with pytest.raises(LeaseLockTimeout), lease_lock(tmp_path, timeout_s=0.1):
        pass
    end(process)


def test_lease_lock_works_outside_the_main_thread_and_is_lagos_file(tmp_path: Path) -> None:
    def hold() -> None:
        with lease_lock(tmp_path):
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join(60)

    assert (tmp_path / LEASE_LOCK).stat().st_mode & 0o777 == 0o660
