"""Leases of subnets 192.168.200–255.0/24, in the predecessor's files, so that both can share one store.

`<third octet>.lease` holds the path of a prefix's uuid file and the uuid; it is valid as long as that file has that content.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import LeaseError, SubnetOutOfRange, SubnetTaken
from .atomic import write_json
from .locks import lease_lock

FIRST_OCTET = 200
LAST_OCTET = 255
OCTETS = range(FIRST_OCTET, LAST_OCTET + 1)


@dataclass(frozen=True, slots=True)
class Lease:
    uuid_path: str
    """Absolute path of the uuid file of the prefix that holds it."""
    uuid: str

    @property
    def is_valid(self) -> bool:
        """Whether its prefix still exists."""
        try:
            return Path(self.uuid_path).read_text(encoding="utf-8", errors="replace") == self.uuid
        except (OSError, ValueError):  # ValueError: a path that no file can have
            return False


@dataclass(frozen=True, slots=True)
class Leases:
    """The valid leases of one moment."""

    holders: Mapping[int, Lease] = field(default_factory=dict)
    """By third octet."""

    def others(self, uuid: str) -> dict[int, str]:
        """Return the octets that prefixes other than this one hold, with the paths of those prefixes."""
        return {octet: str(Path(lease.uuid_path).parent) for octet, lease in self.holders.items() if lease.uuid != uuid}


class LeaseStore:
    """One folder of leases; it is made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def snapshot(self) -> Leases:
        """Return the valid leases. Takes no lock: a plan made on it is checked again by `claim`."""
        return Leases({octet: lease for octet in OCTETS if (lease := self._read(octet)) and lease.is_valid})

    def all(self) -> dict[int, Lease]:
        """Return every lease by its third octet, also those whose prefix is gone."""
        return {octet: lease for octet in OCTETS if (lease := self._read(octet)) is not None}

    def claim(self, uuid_path: Path, uuid: str, octets: Iterable[int]) -> None:
        """Lease subnets, none of them if one is taken; those that are ours already are fine.

        Args:
            uuid_path: the uuid file of the prefix, which must be there by now.
            uuid: what is in it.
            octets: third octets.

        Raises:
            SubnetTaken: another prefix has one of them.
            SubnetOutOfRange: one cannot be leased.
            LeaseLockTimeout: another run holds the store.
            LeaseError: the store cannot be written.
        """
        wanted = sorted(set(octets))
        for octet in wanted:
            _check_range(octet)
        ours = Lease(str(uuid_path), uuid)
        with self._locked():
            found = {octet: self._read(octet) for octet in wanted}
            for octet, lease in found.items():
                if lease is not None and lease.uuid != uuid and lease.is_valid:
                    raise SubnetTaken(f"subnet 192.168.{octet}.0/24 is leased to '{Path(lease.uuid_path).parent}'")
            for octet in wanted:
                if found[octet] != ours:
                    write_json(self._path(octet), [ours.uuid_path, ours.uuid], mode=0o664)

    def release(self, uuid_path: Path, octets: Iterable[int] | None = None) -> None:
        """Give leases of a prefix back; those of others are left alone.

        Args:
            uuid_path: its uuid file; the prefix itself may be gone.
            octets: third octets; None means all that it has.

        Raises:
            LeaseLockTimeout: another run holds the store.
            LeaseError: the store cannot be written.
        """
        if not self.directory.is_dir():
            return
        with self._locked():
            for octet in OCTETS if octets is None else octets:
                lease = self._read(octet)
                if lease is not None and lease.uuid_path == str(uuid_path):
                    self._path(octet).unlink(missing_ok=True)

    def _path(self, octet: int) -> Path:
        return self.directory / f"{octet}.lease"

    def _read(self, octet: int) -> Lease | None:
        """Return a lease, valid or not; None when there is none, or its file is damaged."""
        try:
            uuid_path, uuid = json.loads(self._path(octet).read_bytes())
        except (OSError, ValueError, TypeError):
            return None
        return Lease(uuid_path, uuid) if isinstance(uuid_path, str) and isinstance(uuid, str) else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with lease_lock(self.directory):
                yield
        except OSError as failure:
            raise self._unusable(failure) from failure

    def _unusable(self, failure: OSError) -> LeaseError:
        closed = failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        hint = "choose a folder of your own: LAGO_LEASE_DIR=DIR"
        if self.directory.is_dir():
            hint += f", or make it writable: sudo chmod g+rwxs '{self.directory}'"
        return LeaseError(f"the lease store '{self.directory}' cannot be used: {failure.strerror}", hint=hint if closed else None)


def _check_range(octet: int) -> None:
    if octet not in OCTETS:
        raise SubnetOutOfRange(f"subnet 192.168.{octet}.0/24 cannot be leased: leases are 192.168.{FIRST_OCTET}–{LAST_OCTET}.0/24")
