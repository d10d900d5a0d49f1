"""Locks between processes and between threads. The kernel holds them by an open file, so that a dead holder loses them."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LeaseLockTimeout, PrefixBusy, WorkdirError
from .home import state_home

POLL_S = 0.02
GRACE_S = 0.2
"""A lock that somebody only looks at is held for a moment: nobody gives up before this has passed."""
LEASE_TIMEOUT_S = 5.0
LEASE_LOCK = "subnet-lease.lock"


@dataclass(frozen=True, slots=True)
class LockHolder:
    pid: int
    what: str
    """The verb that it runs."""


@contextmanager
def prefix_lock(prefix: Path, what: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold an environment for ourselves; it need not exist yet.

    Args:
        prefix: its path; two paths of one folder are the same lock.
        what: the verb, for whoever finds it locked.
        timeout_s: how long to wait for another holder.

    Raises:
        PrefixBusy: another run holds it.
    """
    path = _lock_path(prefix)
    with _open(path) as descriptor:
        if not _acquire(descriptor, max(timeout_s, GRACE_S)):
            holder = _read_holder(path)
            who = f"process {holder.pid} runs '{holder.what}' on it" if holder else "another run holds it"
            raise PrefixBusy(f"environment '{prefix}' is in use: {who}")
        try:
            _write_holder(descriptor, LockHolder(os.getpid(), what))
            yield
        finally:
            os.ftruncate(descriptor, 0)


def lock_holder(prefix: Path) -> LockHolder | None:
    """Return who holds an environment, None when nobody does."""
    path = _lock_path(prefix)
    holder = _read_holder(path)
    if holder is None:
        return None
    with _open(path) as descriptor:  # a holder that died left its name there
        free = _try(descriptor, fcntl.LOCK_SH)
    return None if free else holder


def is_locked(prefix: Path) -> bool:
    """Whether a run holds an environment now."""
    return lock_holder(prefix) is not None


@contextmanager
def lease_lock(lease_dir: Path, timeout_s: float = LEASE_TIMEOUT_S) -> Iterator[None]:
    """Hold the lease store, in the way that keeps the predecessor out too.

    Raises:
        LeaseLockTimeout: another holds it for too long.
        OSError: the lock file cannot be opened.
    """
    descriptor = os.open(lease_dir / LEASE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o660)  # whatever the umask: a shared store belongs to a group
        if not _acquire(descriptor, timeout_s):
            raise LeaseLockTimeout(f"the lease store '{lease_dir}' stayed locked for {timeout_s:g} s")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path, timeout_s: float = LEASE_TIMEOUT_S) -> Iterator[None]:
    """Hold a file of our own for a short change of what it guards.

    Raises:
        WorkdirError: another holds it for too long, or it cannot be opened.
    """
    with _open(path) as descriptor:
        if not _acquire(descriptor, timeout_s):
            raise WorkdirError(f"'{path}' stayed locked for {timeout_s:g} s")
        yield


def lock_path(name: str, subject: Path) -> Path:
    """Return the file of a lock on a path, the same for every name of that path."""
    from hashlib import sha256

    key = sha256(os.fsencode(os.path.realpath(subject))).hexdigest()[:24]
    return state_home() / "locks" / f"{name}-{key}.lock"


def _lock_path(prefix: Path) -> Path:
    return lock_path("prefix", prefix)


@contextmanager
def _open(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as failure:
        raise WorkdirError(
            f"the lock '{path}' cannot be opened: {failure.strerror}", hint="set HOME, or XDG_STATE_HOME, to a folder that you may write in"
        ) from failure
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not _try(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(descriptor: int, holder: LockHolder) -> None:
    with suppress(OSError):  # a full disk: the lock holds, only nobody can say who has it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": holder.pid, "what": holder.what}).encode(), 0)


def _read_holder(path: Path) -> LockHolder | None:
    try:
        data = json.loads(path.read_bytes())
        return LockHolder(int(data["pid"]), str(data["what"]))
    except (OSError, ValueError, KeyError, TypeError):  # nobody, or somebody who is just writing it
        return None
