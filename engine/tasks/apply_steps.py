"""How a changed init file reaches an environment that is there: specs, images and names are put in place, or back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import WorkdirError
from ..spec import EnvSpec, Json, MachineSpec, NetSpec
from ..state.atomic import write_bytes, write_text
from .init_steps import host_key_path, seed_path
from .scope import RunScope


def keep_init_file(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    scope.open_prefix().keep_init_file(args["path"], args["text"])


def make_host_keys(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Make a host key for each new machine, and know it, and those of machines whose names have changed."""
    from ..guest.hostkeys import remember_host_key
    from ..guest.keys import make_host_key

    prefix = scope.open_prefix()
    for machine, names in args["hosts"].items():
        key = make_host_key(machine)
        write_bytes(host_key_path(prefix, machine), key.private_pem, mode=0o600)
        write_text(host_key_path(prefix, machine).with_suffix(".pub"), key.public_line + "\n", mode=0o644)
        remember_host_key(prefix.known_hosts, names, key.public_line)
    for machine, names in args.get("known", {}).items():
        remember_host_key(prefix.known_hosts, names, host_key_path(prefix, machine).with_suffix(".pub").read_text().strip())


def unmake_host_keys(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    prefix = scope.open_prefix()
    write_text(prefix.known_hosts, args["known_hosts"], mode=0o644)
    for machine in args["machines"]:
        key = host_key_path(prefix, machine)
        key.unlink(missing_ok=True)
        key.with_suffix(".pub").unlink(missing_ok=True)


def grow_disk(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.disks import grow

    grow(ctx, Path(args["path"]), args["size"])


def set_aside(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    for path, place in args["moves"].items():
        _move(scope, Path(path), Path(place))


def put_back(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    for path, place in args["moves"].items():
        _move(scope, Path(place), Path(path))


def remove_files(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    seeds = [seed_path(scope.open_prefix(), machine) for machine in args.get("seeds", ())]
    for path in (*seeds, *(Path(each) for each in args["paths"])):
        _require_inside(scope, path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def update_spec(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Write the whole environment, and remove the files of what is no longer in it."""
    machines = {machine["name"]: MachineSpec.from_json(machine) for machine in args["machines"]}
    nets = {net["name"]: NetSpec.from_json(net) for net in args["nets"]}
    prefix = scope.open_prefix()
    prefix.save_env(EnvSpec(machines, nets))
    wanted = {"env", *(f"vm-{name}" for name in machines), *(f"net-{name}" for name in nets)}
    for path in prefix.virt.iterdir():
        if path.name not in wanted and path.name.startswith(("vm-", "net-")):
            path.unlink()


def update_net(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        nets = {net["name"]: NetSpec.from_json(net) for net in args["nets"]}
        provider.update_net(ctx, scope.ref, nets[subject], nets)


def _move(scope: RunScope, source: Path, target: Path) -> None:
    """Move a file inside the prefix; one that has been moved already is left alone."""
    _require_inside(scope, source)
    _require_inside(scope, target)
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _require_inside(scope: RunScope, path: Path) -> None:
    """Raises: WorkdirError: the path leaves the prefix: a journal must not make us touch anything else."""
    if ".." in path.parts or not path.is_relative_to(scope.prefix):
        raise WorkdirError(f"'{path}' is not in '{scope.prefix}': it was left alone")
