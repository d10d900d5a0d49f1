"""Copying files, against a real OpenSSH server, with SFTP and with scp."""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, CopyFailed, GuestError, MachineStateError, PathNotFound
from engine.guest.dial import DirectDialer
from engine.guest.download import Download
from engine.guest.files import copy_from, copy_to
from engine.guest.local_tree import LocalTree, part_name
from engine.guest.session import Session, Way, session
from engine.guest.sftp import Sftp
from engine.guest.sftp_wire import About, Kind, of_path
from engine.guest.tally import Tally
from engine.spec import MachineStatus
from tests.engine.guest.conftest import Sshd

ODD = (b"-rf", b"two\nlines", b"tab\tand space", b"latin-\xe9", b"*?[x]$(id)`id`'\"", b"..x")
"""Names that a shell, an option parser or a decoder may stumble over."""


@pytest.fixture(scope="session")
def sftp_sshd(make_sshd: Callable[[], Sshd]) -> Iterator[Sshd]:
    """A running server with an SFTP server of its own."""
    server = make_sshd()
    with server.running(sftp=True):
        yield server


@pytest.fixture(params=["sftp", "scp"])
def guest(request: pytest.FixtureRequest, ctx: TaskContext) -> Iterator[Session]:
    """A connection to a machine that has SFTP, and to one that has scp only."""
    server: Sshd = request.getfixturevalue("sftp_sshd" if request.param == "sftp" else "shared_sshd")
    with connected(ctx, server) as found:
        yield found


@pytest.fixture
def sftp_guest(ctx: TaskContext, sftp_sshd: Sshd) -> Iterator[Session]:
    with connected(ctx, sftp_sshd) as found:
        yield found


def connected(ctx: TaskContext, server: Sshd):  # type: ignore[no-untyped-def]
    return session(ctx, Way(server.target, DirectDialer(), lambda: MachineStatus.RUNNING), tries=1, timeout_s=20)


def tree(folder: Path) -> Path:
    """Make a folder with everything that is copied."""
    inner = folder / "inner"
    inner.mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(3_000_001))
    (folder / "empty").touch()
    (inner / "script").write_text("#!/bin/sh\n")
    (inner / "script").chmod(0o751)
    os.utime(inner / "script", (1_000_000_000, 1_100_000_000))
    for name in ODD:
        (inner / os.fsdecode(name)).write_bytes(name)
    inner.chmod(0o750)
    return folder


def picture(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return path → mode and content of everything in a folder."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def without_lines(folder: Path) -> Path:
    """Remove what scp cannot carry."""
    (folder / "inner" / "two\nlines").unlink()
    return folder


def test_a_folder_goes_there_and_comes_back(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    source = without_lines(tree(tmp_path / "source"))
    copy_to(ctx, guest, source, str(tmp_path / "there"))
    copy_from(ctx, guest, str(tmp_path / "there"), tmp_path / "back")
    assert picture(tmp_path / "there") == picture(source)
    assert picture(tmp_path / "back") == picture(source)
    assert (tmp_path / "back/inner/script").stat().st_mtime == 1_100_000_000


def test_odd_names_and_links_are_kept(ctx: TaskContext, sftp_guest: Session, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    (source / "link").symlink_to("/etc/passwd")
    (source / "dangling").symlink_to("../../nowhere")
    (source / "folder-link").symlink_to("inner")
    copy_to(ctx, sftp_guest, source, str(tmp_path / "there"))
    copy_from(ctx, sftp_guest, str(tmp_path / "there"), tmp_path / "back")
    assert picture(tmp_path / "there") == picture(source)
    assert picture(tmp_path / "back") == picture(source)


def test_links_go_to_a_guest_without_sftp_too(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("/etc/passwd")
    copy_to(ctx, guest, source, str(tmp_path / "there"))
    assert (tmp_path / "there/link").readlink() == Path("/etc/passwd")


def test_what_goes_to_a_folder_that_is_there_goes_into_it(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "inner").write_text("y")
    for name in ("to", "from"):
        (tmp_path / name).mkdir()
    for source in ("file", "dir"):
        copy_to(ctx, guest, tmp_path / source, str(tmp_path / "to"))
        copy_from(ctx, guest, str(tmp_path / source), tmp_path / "from")
        copy_from(ctx, guest, str(tmp_path / source), tmp_path / "from")  # again: over what is there
    assert sorted(picture(tmp_path / "to")) == ["dir", "dir/inner", "file"]
    assert sorted(picture(tmp_path / "from")) == ["dir", "dir/inner", "file"]


def test_a_file_takes_the_place_of_one_that_is_there(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    for name in ("there", "here"):
        (tmp_path / name).write_text("something older and longer")
    copy_to(ctx, guest, tmp_path / "new", str(tmp_path / "there"))
    copy_from(ctx, guest, str(tmp_path / "new"), tmp_path / "here")
    assert {(tmp_path / name).read_text() for name in ("there", "here")} == {"new"}


def test_what_is_not_there_is_said(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(PathNotFound, match=r"there is no '.*/nothing' here"):
        copy_to(ctx, guest, tmp_path / "nothing", "/tmp")
    with pytest.raises(PathNotFound, match="there is no '/nothing' in 'vm0'"):
        copy_from(ctx, guest, "/nothing", tmp_path)
    with pytest.raises(PathNotFound, match="there is no folder"):
        copy_from(ctx, guest, str(tmp_path / "x"), tmp_path / "no" / "such")
    with pytest.raises(CopyFailed):
        copy_to(ctx, guest, tmp_path / "x", str(tmp_path / "no" / "such"))


def test_a_folder_does_not_replace_a_file(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CopyFailed, match="is no folder"):
        copy_from(ctx, guest, str(tmp_path / "dir"), tmp_path / "file")
    with pytest.raises(CopyFailed):
        copy_to(ctx, guest, tmp_path / "dir", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "kept"


def test_special_files_are_left_out(ctx: TaskContext, sftp_guest: Session, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "pipe")
    (source / "file").touch()
    copy_to(ctx, sftp_guest, source, str(tmp_path / "there"))
    copy_from(ctx, sftp_guest, str(source), tmp_path / "back")
    assert [sorted(picture(tmp_path / name)) for name in ("there", "back")] == [["file"], ["file"]]


def test_the_rest_is_copied_where_one_file_cannot_be(ctx: TaskContext, sftp_guest: Session, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "file").write_text(name)
    (tmp_path / "there" / "source" / "a" / "file").mkdir(parents=True)
    with pytest.raises(CopyFailed, match="a/file"):
        copy_to(ctx, sftp_guest, tmp_path / "source", str(tmp_path / "there"))
    assert (tmp_path / "there/source/b/file").read_text() == "b"
    assert not [name for name in picture(tmp_path / "there") if ".part" in name]


def test_a_link_in_the_guest_is_kept_and_what_it_leads_to_is_replaced(ctx: TaskContext, sftp_guest: Session, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    copy_to(ctx, sftp_guest, tmp_path / "new", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_cancel_leaves_nothing_half_written(ctx: TaskContext, token: CancelToken, sftp_guest: Session, tmp_path: Path) -> None:
    for name in ("source", "there", "back"):
        (tmp_path / name).mkdir()
    with (tmp_path / "source" / "huge").open("wb") as huge:
        huge.truncate(20_000_000_000)
    for copy in (
        lambda: copy_to(ctx, sftp_guest, tmp_path / "source" / "huge", str(tmp_path / "there")),
        lambda: copy_from(ctx, sftp_guest, str(tmp_path / "source" / "huge"), tmp_path / "back"),
    ):
        threading.Timer(0.3, token.cancel).start()
        with pytest.raises(Cancelled):
            copy()
    assert (picture(tmp_path / "there"), picture(tmp_path / "back")) == ({}, {})


def test_a_copy_removes_what_a_killed_one_left(ctx: TaskContext, guest: Session, tmp_path: Path) -> None:
    source = without_lines(tree(tmp_path / "source"))
    left = tmp_path / os.fsdecode(part_name(b"back/"))
    (left / "inner").mkdir(parents=True)
    (left / "empty").touch()
    (left / "inner" / os.fsdecode(part_name(b"script"))).write_text("#!/b")
    copy_from(ctx, guest, str(source), tmp_path / "back")
    assert picture(tmp_path / "back") == picture(source)
    assert not left.exists()


def test_a_name_that_is_taken_meanwhile_loses_nothing(tmp_path: Path) -> None:
    with LocalTree(tmp_path) as local:
        with pytest.raises(CopyFailed, match="has come here meanwhile"), local.taking_shape(b"x", is_folder=True) as top:
            local.make_folder(top)
            (tmp_path / "x").write_text("another's")
        assert (tmp_path / "x").read_text() == "another's"
        assert (tmp_path / os.fsdecode(top[0])).is_dir()


def test_two_copies_to_one_name_leave_each_other_alone(tmp_path: Path) -> None:
    with LocalTree(tmp_path) as one, one.taking_shape(b"x", is_folder=True) as top:
        one.make_folder(top)
        with LocalTree(tmp_path) as other, other.taking_shape(b"x", is_folder=True) as second:
            assert second != top
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_machine_that_is_down_is_said_at_once(ctx: TaskContext, shared_sshd: Sshd) -> None:
    way = Way(shared_sshd.target, DirectDialer(), lambda: MachineStatus.DOWN)
    with pytest.raises(MachineStateError, match="'vm0' is down"), session(ctx, way, tries=5, timeout_s=5):
        pass


# --- what a hostile guest may try -------------------------------------------------------------------------------


def test_a_link_is_never_gone_through(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    with LocalTree(inside) as local:
        local.make_link((b"a",), os.fsencode(outside))
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            local.make_folder((b"a",))
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"), local.new_file((b"a", b"file")):
            pass
        (inside / os.fsdecode(part_name(b"b"))).symlink_to(outside / "b")  # as if left by a copy that was killed
        with pytest.raises(OSError, match="Too many levels"), local.new_file((b"b",)):
            pass
    assert list(outside.iterdir()) == []


def test_a_guest_makes_no_program_of_ours_run_as_root(tmp_path: Path) -> None:
    with LocalTree(tmp_path) as local, local.new_file((b"x",)) as new:
        new.finish(0o4755, 0, 0)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o755


class HostileServer:
    """An SFTP server that is asked for a folder, and names what leads out of it; in the place of a channel."""

    def __init__(self, names: list[tuple[bytes, int]]) -> None:
        self.names = names
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.listed = False

    def settimeout(self, seconds: float) -> None:
        """It never waits."""

    def send(self, data: bytes) -> int:
        self.inbox += data
        while len(self.inbox) >= 4 and len(self.inbox) >= (length := int.from_bytes(self.inbox[:4], "big")) + 4:
            packet = bytes(self.inbox[4 : length + 4])
            del self.inbox[: length + 4]
            kind, body = self.answer(packet[0])
            self.outbox += (len(body) + 5).to_bytes(4, "big") + bytes([kind]) + packet[1:5] + body
        return len(data)

    def recv(self, size: int) -> bytes:
        data = bytes(self.outbox[:size])
        del self.outbox[:size]
        return data

    def answer(self, kind: int) -> tuple[int, bytes]:
        if kind == Kind.READDIR and not self.listed:
            self.listed = True
            entries = [text(name) + text(b"") + struct.pack(">III", 0x4, mode, 0)[:8] for name, mode in self.names]
            return Kind.NAME, struct.pack(">I", len(entries)) + b"".join(entries)
        if kind == Kind.READLINK:
            return Kind.NAME, struct.pack(">I", 1) + text(b"/tmp") + text(b"") + struct.pack(">I", 0)
        if kind in (Kind.OPEN, Kind.OPENDIR):
            return Kind.HANDLE, text(b"h")
        code = 1 if kind in (Kind.READ, Kind.READDIR) else 0
        return Kind.STATUS, struct.pack(">I", code) + text(b"") + text(b"")


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def test_names_of_a_hostile_guest_lead_nowhere(ctx: TaskContext, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    file, folder, link = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
    names = [(b"../evil", file), (b"/etc/evil", file), (b"..", folder), (b".", folder), (b"", file), (b"nul\0", file)]
    names += [(b"a", link), (b"a", folder), (b"good", file)]
    tally = Tally(ctx)
    with LocalTree(inside) as local:
        sftp = Sftp(HostileServer(names), lambda: None)  # type: ignore[arg-type]
        Download(sftp, local, tally).run(ctx, b"/there", (), About(mode=folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside"]
    assert sorted(path.name for path in inside.iterdir()) == ["a", "good"]
    assert len(tally.failures) == 1  # "a" is there already


def test_a_server_that_talks_nonsense_is_told(ctx: TaskContext, tmp_path: Path) -> None:
    server = HostileServer([])
    server.answer = lambda kind: (Kind.HANDLE, text(b"h")) if kind == Kind.OPENDIR else (Kind.NAME, b"\0\0\0\xff")  # type: ignore[method-assign]
    folder = About(mode=stat.S_IFDIR | 0o755)
    with LocalTree(tmp_path) as local, pytest.raises(GuestError, match="talks nonsense"):
        Download(Sftp(server, lambda: None), local, Tally(ctx)).run(ctx, b"/x", (), folder)  # type: ignore[arg-type]
    server.outbox += b"Welcome to this machine!"
    with pytest.raises(GuestError, match="talks nonsense"):
        Sftp(server, lambda: None).answer(ctx, of_path(Kind.STAT, b"/"))  # type: ignore[arg-type]
