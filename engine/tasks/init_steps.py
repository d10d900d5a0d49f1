"""How a prefix comes to be and goes away: folders, subnets, keys, templates, disks, seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..context import TaskContext
from ..errors import PrefixDamaged, WorkdirError
from ..spec import DiskType, EnvSpec, Json, MachineSpec, NetSpec
from ..state import known
from ..state import workdir as workdirs
from ..state.atomic import write_bytes, write_text
from ..state.leases import LeaseStore
from ..state.prefix import Prefix
from .scope import RunScope


def make_prefix(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    workdir = Path(args["workdir"]) if args["workdir"] else None
    Prefix.create(scope.prefix, uuid=scope.uuid, host=scope.host, workdir=workdir)


def remove_prefix(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    prefix = scope.open_prefix()
    if scope.uuid and prefix.uuid not in ("", scope.uuid):  # none: it has lost it, or is a copy
        raise PrefixDamaged(f"'{scope.prefix}' is another environment now: it was left alone", hint="look into it by hand")
    known.forget(scope.uuid)
    workdir = Path(args["workdir"]) if args["workdir"] else None
    workdirs.remove_prefix(replace(prefix, workdir=workdir))


def claim_subnets(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    LeaseStore(scope.settings.lease_dir).claim(scope.open_prefix().uuid_path, scope.uuid, args["octets"])


def release_subnets(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    LeaseStore(scope.settings.lease_dir).release(scope.open_prefix().uuid_path, args.get("octets"))


def make_keys(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Make the key that we log in with, and a host key for each machine that can be told one."""
    from ..guest.keys import known_hosts_lines, make_host_key, make_keypair

    prefix = scope.open_prefix()
    key = make_keypair()
    write_bytes(prefix.private_key, key.private_pem, mode=0o600)
    write_text(prefix.public_key, key.public_line + "\n", mode=0o644)
    lines: list[str] = []
    for machine, names in args["hosts"].items():
        host_key = make_host_key(machine)
        write_bytes(host_key_path(prefix, machine), host_key.private_pem, mode=0o600)
        write_text(host_key_path(prefix, machine).with_suffix(".pub"), host_key.public_line + "\n", mode=0o644)
        lines += known_hosts_lines(names, host_key.public_line)
    write_text(prefix.known_hosts, "".join(f"{line}\n" for line in lines), mode=0o644)


def host_key_path(prefix: Prefix, machine: str) -> Path:
    """Return where the private host key of a machine is kept."""
    return prefix.seeds / f"{machine}_host_key"


def seed_path(prefix: Prefix, machine: str) -> Path:
    """Return where the NoCloud image of a machine is kept."""
    return prefix.seeds / f"{machine}.iso"


def fetch_template(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    assert scope.catalogue is not None and scope.store is not None
    scope.store.fetch(ctx, scope.catalogue.find(args["name"], args["version"]))


def fetch_image(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images import fetching
    from ..images.fitness import fit_image

    path = Path(args["path"])
    fetching.fetch(ctx, args["url"], path, fetching.checksums(args["sha256"], args["sha1"]))
    if not args["iso"]:
        fit_image(ctx, path, args["url"])


def extract_ova(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.archives import bring, forget
    from ..images.ova import extract

    if args["path"]:
        extract(ctx, Path(args["path"]), args["members"])
        return
    archive = bring(ctx, args["url"])  # it is here, unless another run has used it meanwhile
    extract(ctx, archive, args["members"])
    forget(archive)


def copy_scripts(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    for source, target in args["copies"].items():
        try:
            content = Path(source).read_bytes()
        except OSError as failure:
            raise WorkdirError(f"the deploy script '{source}' cannot be read: {failure.strerror}") from failure
        write_bytes(Path(target), content, mode=0o644)


def make_disk(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images import disks, layers

    path, size = Path(args["path"]), args["size"]
    if DiskType(args["type"]) is DiskType.EMPTY:
        disks.make_empty(ctx, path, args["format"], size)
        return
    source = Path(args["source"])
    if not args["copy"]:
        disks.make_overlay(ctx, path, source, disks.format_of(ctx, source), size)
        return
    if args["parent"]:
        layers.copy_onto(ctx, source, path, Path(args["parent"]), [Path(each) for each in args.get("between", ())])
    else:
        disks.copy_image(ctx, source, path)
    if size is not None and args["format"] != "iso":
        disks.grow(ctx, path, size)


def make_seed(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..guest.keys import KeyPair
    from ..guest.seed import Seed, write_seed

    prefix = scope.open_prefix()
    key = host_key_path(prefix, subject)
    write_seed(
        seed_path(prefix, subject),
        Seed(
            hostname=subject,
            instance_id=f"{scope.uuid}-{subject}",
            domain=args["domain"] or "",
            ssh_user=args["ssh_user"],
            ssh_password=args["root_password"] is not None,
            root_password=args["root_password"],
            authorized_keys=(prefix.public_key.read_text().strip(),),
            host_key=KeyPair(key.read_bytes(), key.with_suffix(".pub").read_text().strip()),
            macs=tuple(args["macs"]),
            user_data=args["user_data"] or {},
            network_config=args["network_config"],
            renew_network=bool(args.get("renew_network")),
        ),
    )


def save_env(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    machines = [MachineSpec.from_json(machine) for machine in args["machines"]]
    nets = [NetSpec.from_json(net) for net in args["nets"]]
    scope.open_prefix().save_env(EnvSpec({m.name: m for m in machines}, {n.name: n for n in nets}))


def finish_prefix(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    prefix = scope.open_prefix()
    prefix.mark_initialized()
    if args["workdir"]:
        workdirs.Workdir.at(Path(args["workdir"])).adopt(prefix.name, set_current=args["set_current"])
    known.register(prefix.path, prefix.uuid, Path(args["workdir"]) if args["workdir"] else None)
