"""The private world from outside: where it lives, and why it cannot be made (the world itself: tests/live/test_private_world.py)."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import WorldUnavailable
from engine.providers.libvirt import world_init
from engine.providers.libvirt.private import ensure_world, find_world
from engine.providers.libvirt.world_facts import WorldFacts, explain, missing_programs
from engine.providers.libvirt.world_folders import WorldPaths, world_paths

FINE = WorldFacts(
    user="ann",
    is_root=False,
    missing=(),
    tun_error="",
    has_subids=True,
    unprivileged_userns_clone=1,
    max_user_namespaces=9000,
    apparmor_restricts=None,
)
LOG = Path("/state/world.log")


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def paths(tmp_path: Path) -> WorldPaths:
    """A world whose sockets are in its own folder, however long the path of the test's is: no daemon makes any."""
    return WorldPaths(tmp_path / "world", tmp_path / "world" / "run", tmp_path)


def start_without_namespaces(ctx: TaskContext, paths: WorldPaths, facts: WorldFacts = FINE) -> None:
    """Try to start a world where the command that makes namespaces always fails."""
    ensure_world(ctx, paths, 60, namespaces=[sys.executable, "-c", "raise SystemExit('no namespaces here')"], facts=lambda: facts).close()


def test_a_world_lives_in_the_state_folder() -> None:
    assert world_paths(Path("/home/ann/.local/state")).run == Path("/home/ann/.local/state/lagotui/private/run")


def test_its_uri_names_its_socket() -> None:
    uri = world_paths(Path("/home/ann b/state")).uri
    assert uri == "qemu+unix:///system?socket=/home/ann%20b/state/lagotui/private/run/libvirt-sock"


def test_sockets_move_to_tmp_where_their_path_would_be_too_long() -> None:
    paths = world_paths(Path("/home") / ("x" * 90))
    assert paths.run.parent == Path("/tmp") and len(str(paths.run / "libvirt-admin-sock")) < 60


def test_a_long_state_folder_always_gives_the_same_short_one() -> None:
    long = Path("/home") / ("x" * 90)
    assert world_paths(long) == world_paths(long) != world_paths(long / "y")


def test_no_world_is_found_where_none_was_made(paths: WorldPaths) -> None:
    assert find_world(paths) is None


def test_looking_for_a_world_makes_nothing(paths: WorldPaths, tmp_path: Path) -> None:
    find_world(paths)
    assert list(tmp_path.iterdir()) == []


def test_a_short_folder_that_is_a_link_is_refused(ctx: TaskContext, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    paths = WorldPaths(tmp_path / "folder", tmp_path / "run", tmp_path)
    paths.run.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldUnavailable, match="is not a folder of yours"):
        start_without_namespaces(ctx, paths)


def test_its_folders_are_the_users_alone(ctx: TaskContext, paths: WorldPaths) -> None:
    paths.run.mkdir(parents=True, mode=0o755)
    with pytest.raises(WorldUnavailable):
        start_without_namespaces(ctx, paths)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (paths.folder, paths.run)} == {0o700}


@pytest.fixture
def short(tmp_path: Path) -> WorldPaths:
    """A world whose own folder has too long a path for sockets."""
    (tmp_path / "tmp").mkdir()
    return world_paths(tmp_path / ("x" * 90), tmp_path / "tmp")


def test_a_start_removes_the_sockets_of_dead_worlds_only(ctx: TaskContext, short: WorldPaths) -> None:
    user = os.geteuid()
    dead, alive, another = (short.tmp / name for name in (f"lagotui-{user}-{'0' * 12}", f"lagotui-{user}-{'1' * 12}", f"lagotui-{user}-x"))
    for folder in (dead, alive, another):
        folder.mkdir()
    (dead / "dial.sock").touch()
    held = world_init.claim(alive)
    with pytest.raises(WorldUnavailable):
        start_without_namespaces(ctx, short)
    os.close(held)
    assert (dead.exists(), alive.exists(), another.exists()) == (False, True, True)


def test_a_start_that_fails_leaves_no_sockets_in_tmp(ctx: TaskContext, short: WorldPaths) -> None:
    with pytest.raises(WorldUnavailable):
        start_without_namespaces(ctx, short)
    assert list(short.tmp.iterdir()) == []


def test_a_folder_that_an_ending_world_removes_is_made_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ending = world_init.claim(run)
    claimed: list[int] = []
    starting = threading.Thread(target=lambda: claimed.append(world_init.claim(run)))
    starting.start()
    shutil.rmtree(run)
    os.close(ending)
    starting.join(60)
    assert os.path.samestat(os.fstat(claimed[0]), run.stat())
    os.close(claimed[0])


def test_a_start_that_fails_says_the_last_words_of_its_log(ctx: TaskContext, paths: WorldPaths) -> None:
    with pytest.raises(WorldUnavailable, match=r"no namespaces here \(see .*world\.log"):
        start_without_namespaces(ctx, paths)


def test_a_start_that_fails_where_namespaces_are_forbidden_says_the_switch(ctx: TaskContext, paths: WorldPaths) -> None:
    with pytest.raises(WorldUnavailable, match=r"sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0"):
        start_without_namespaces(ctx, paths, replace(FINE, apparmor_restricts=1))


def test_nothing_is_started_where_a_program_is_missing(ctx: TaskContext, paths: WorldPaths) -> None:
    with pytest.raises(WorldUnavailable, match="'dnsmasq' not installed"):
        start_without_namespaces(ctx, paths, replace(FINE, missing=("dnsmasq",)))
    assert not paths.log.exists()


@pytest.mark.parametrize(
    ("facts", "hint"),
    [
        (replace(FINE, missing=("libvirtd",)), "./setup.sh installs what is needed"),
        (replace(FINE, missing=("newuidmap", "newgidmap")), "sudo apt-get install uidmap; ./setup.sh does"),
        (replace(FINE, tun_error="Permission denied"), "sudo chmod 666 /dev/net/tun"),
        (replace(FINE, tun_error="No such file or directory"), "sudo modprobe tun; ls -l /dev/net/tun"),
        (replace(FINE, has_subids=False), "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann"),
        (
            replace(FINE, unprivileged_userns_clone=0),
            "sudo sysctl -w kernel.unprivileged_userns_clone=1, or use the system's libvirt: --libvirt_url qemu:///system",
        ),
        (
            replace(FINE, max_user_namespaces=0),
            "sudo sysctl -w user.max_user_namespaces=15000, or use the system's libvirt: --libvirt_url qemu:///system",
        ),
        (
            replace(FINE, apparmor_restricts=1),
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or use the system's libvirt: --libvirt_url qemu:///system",
        ),
    ],
)
def test_every_cause_has_its_fix(facts: WorldFacts, hint: str) -> None:
    assert explain(facts, "unshare: something", LOG).hint == hint


def test_root_needs_no_user_namespace() -> None:
    facts = replace(FINE, is_root=True, has_subids=False, apparmor_restricts=1)
    assert "unshare: no" in explain(facts, "unshare: no", LOG).message


def test_root_needs_no_id_mapping_programs(tmp_path: Path) -> None:
    assert "newuidmap" not in missing_programs(True, str(tmp_path))


def test_everybody_else_does(tmp_path: Path) -> None:
    assert "newuidmap" in missing_programs(False, str(tmp_path))
