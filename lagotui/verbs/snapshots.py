"""snapshot, revert."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from ..exit_codes import ExitCode
from ..present.snapshots import tree_data, tree_text
from ..present.status import snapshot_data
from . import Command
from .session import Session


def _snapshot_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("-l", "--list", action="store_true", dest="listed", help="list the snapshots instead of taking one")
    add("--tree", action="store_true", help="list how the snapshots follow from each other, with time and size")
    add("-m", "--memory", action="store_true", help="keep the memory of what is up, too: revert brings back running machines")
    add("--force", action="store_true", help="let an older snapshot of that name go once the new one is there")
    add("--delete", action="store_true", help="forget the snapshot; its layers are merged with what stands on them")
    add("name", nargs="?", metavar="NAME", help="name of the snapshot")
    add("machines", nargs="*", default=[], metavar="VM", help="machines; without any, the whole environment")


def _snapshot(session: Session, arguments: Namespace) -> int:
    from engine.errors import ConfigError, SnapshotError

    listed, deleted = arguments.listed or arguments.tree, arguments.delete
    if deleted and (listed or arguments.memory or arguments.force):
        raise ConfigError("--delete goes with no other option", hint="lagotui --run snapshot --delete NAME")
    if not listed and arguments.name is None:
        raise SnapshotError("snapshot needs a name", hint="lagotui --run snapshot NAME, or snapshot --list to see what there is")
    env, name, machines = session.env(), arguments.name, arguments.machines
    if listed:
        return _list(session, arguments.tree)
    if deleted:
        session.follow(lambda engine: engine.delete_snapshot(env, name, machines))
    else:
        session.follow(lambda engine: engine.snapshot(env, name, machines, memory=arguments.memory, force=arguments.force))
    return ExitCode.OK


def _list(session: Session, as_tree: bool) -> int:
    env = session.env()
    if not as_tree:
        session.show(snapshot_data(env.load_env().machines))
    elif session.settings.out_format == "default":
        session.write(tree_text(session.engine.snapshots(env)))
    else:
        session.show(tree_data(session.engine.snapshots(env)))
    return ExitCode.OK


def _revert_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the snapshot to go back to")
    parser.add_argument("machines", nargs="*", default=[], metavar="VM", help="machines; without any, the whole environment")


def _revert(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.revert(env, arguments.name, arguments.machines))
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "snapshot": Command(_snapshot, _snapshot_arguments),
    "revert": Command(_revert, _revert_arguments),
}
