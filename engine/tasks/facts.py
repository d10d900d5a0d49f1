"""What a plan must know from outside, gathered: catalogue, leases, images, the host; and what an environment is like right now."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Settings
from ..context import TaskContext
from ..errors import HostError, PrefixDamaged
from ..plan.addressing import plan_addresses
from ..spec import EnvRef, EnvSpec, MachineSpec, MachineStatus, NetSpec
from ..state.env import EnvState, MachineState, NetState
from ..state.leases import LeaseStore
from ..state.prefix import Prefix
from .external_steps import external_machines
from .scope import PeekProvider

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..providers.hosts import Hosts


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What `init` and `up` are asked for."""

    workdir: Path
    prefix_name: str
    init_file: Path
    text: str | None = None
    """Content of the init file; None: it is read."""
    set_current: bool = False
    skip_bootstrap: bool = False
    skip_build: bool = False
    named: bool = False
    """The user named the init file: `up` of an environment that is there fails without it, instead of starting what is there."""
    agreed: bool = False
    """The user agrees to lose what a changed init file asks to make anew; else `up` refuses, and nothing is changed."""

    def read(self) -> str:
        """Return the text of the init file."""
        return self.text if self.text is not None else self.init_file.read_text(encoding="utf-8")

    @property
    def prefix(self) -> Path:
        """Where the prefix will be."""
        from ..state.workdir import Workdir

        return Workdir.at(self.workdir).new_prefix_path(self.prefix_name)


def read_init_file(ctx: TaskContext, request: InitRequest, catalogue: Catalogue, settings: Settings, hosts: Hosts) -> EnvSpec:
    """Return what the init file means; warnings go to the task log.

    Raises:
        InitFileError: it cannot be used; every error is placed.
    """
    from ..initfile.load import require_spec
    from .checking import local_facts
    from .init_facts import variables

    known = local_facts(settings, catalogue, hosts)
    facts = replace(known, variables=variables(request), leases=None, subnets=None)  # the plan itself chooses among subnets
    spec, remarks = require_spec(shown_path(request.init_file), request.text, facts)
    for remark in remarks:
        ctx.log(str(remark), logging.WARNING if remark.severity == "warning" else logging.INFO)
    return spec


def shown_path(path: Path) -> Path:
    """Return a path as a person would write it: relative where it is below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def addressed(spec: EnvSpec, uuid: str, settings: Settings, used_subnets: frozenset[str]) -> EnvSpec:
    """Choose subnets and addresses on the leases of this moment.

    Raises:
        LeaseError: there is none to be had.
    """
    leased = LeaseStore(settings.lease_dir).snapshot().others(uuid)
    return plan_addresses(spec, leased=leased, used_subnets=used_subnets)


def read_state(prefix: Prefix, peek: PeekProvider, default_host: str, *, pending: tuple[str, ...] = (), lenient: bool = False) -> EnvState:
    """Return an environment as it is now: its files beside what its host says.

    Args:
        prefix: where it is.
        peek: connects to a host if it is there.
        default_host: of prefixes that name none.
        pending: what is said of runs that ended in the middle.
        lenient: an unreachable host makes its machines `failed to get state` instead of an error.

    Raises:
        PrefixDamaged: its files cannot be read.
        HostError: the host cannot be reached, and `lenient` is not set.
    """
    spec, host = prefix.load_env(), prefix.host or default_host
    up: dict[str, MachineStatus] = {}
    nets: frozenset[str] = frozenset()
    try:
        provider = peek(host)
        if provider is not None:
            up, nets = dict(provider.machine_states(prefix.ref)), provider.active_nets(prefix.ref)
    except HostError:
        if not lenient:
            raise
        up = dict.fromkeys(spec.machines, MachineStatus.UNREADABLE)
    if external := external_machines(spec.machines):
        from ..providers.external.reaching import states

        up.update(states(external))
    if provided := [machine for machine in spec.machines.values() if machine.is_provided]:
        from .provided_steps import states as states_of_plugins

        up.update(states_of_plugins(provided, prefix.path))
    return EnvState(
        ref=prefix.ref,
        name=prefix.name,
        host=host,
        machines={name: MachineState(machine, up.get(name, MachineStatus.DOWN)) for name, machine in spec.machines.items()},
        nets={name: NetState(net, name in nets) for name, net in spec.nets.items()},
        workdir=str(prefix.workdir or ""),
        pending=pending,
    )


def read_remains(prefix: Prefix, peek: PeekProvider, default_host: str) -> EnvState:
    """Return what is left of an environment that may be half-made or damaged: for destroying it."""
    try:
        return read_state(prefix, peek, default_host)
    except PrefixDamaged:
        pass  # its files do not say what runs: the host does
    host = prefix.host or default_host
    machines: dict[str, MachineState] = {}
    nets: dict[str, NetState] = {}
    if len(prefix.uuid) >= 8 and (provider := peek(host)) is not None:
        states = provider.machine_states(prefix.ref)
        machines = {name: MachineState(MachineSpec(name), status) for name, status in sorted(states.items())}
        nets = {name: NetState(NetSpec(name), True) for name in sorted(provider.active_nets(prefix.ref))}
    ref = EnvRef(str(prefix.path), prefix.uuid)
    return EnvState(ref, prefix.name, host, machines, nets, str(prefix.workdir or ""))
