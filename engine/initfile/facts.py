"""What a check may know of the world. All of it comes from outside; what is None is unknown, and means fewer checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Processor:
    """What the host of the machines says of its processor."""

    model: str
    """The named model that comes nearest to it; "" where nobody can tell."""
    vendor: str
    """`Intel`, `AMD` …; "" where nobody can tell."""
    usable: frozenset[str]
    """Models that machines can have on it; none where nobody can tell."""

    def __str__(self) -> str:
        return f"{self.model} of {self.vendor}" if self.model and self.vendor else self.model or self.vendor or "not known"


@dataclass(frozen=True, slots=True)
class Facts:
    templates: Mapping[str, tuple[str, ...]] | None = None
    """Template → versions, the newest first."""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    """Name that is no template of its own → the template that it stands for."""
    files_base: str = "/"
    """Folder that relative paths start from: that of the init file."""
    scripts_base: str | None = None
    """Folder that deploy scripts are looked for in second: the predecessor took the current one."""
    exists: Callable[[str], bool] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of `$NAME` in paths."""
    cpu_models: tuple[str, ...] | None = None
    """Models that the host's libvirt knows."""
    processor: Callable[[], Processor | None] | None = None
    """Asks the host, so that only files are slowed down that name a model; None: it is not there to be asked."""
    vm_providers: tuple[str, ...] | None = None
    plugged: Callable[[str], tuple[str, ...]] | None = None
    """Names of the plugins of a kind (`vm`, `vm_provider`, `vm_service`); asked only where a file names what is none of ours."""
    bridges: tuple[str, ...] | None = None
    """Bridges of the host that nets can be on."""
    subnets: tuple[str, ...] | None = None
    """Networks of the host's interfaces and routes: `10.0.0.0/8`."""
    leases: Mapping[int, str] | None = None
    """Third octet of a subnet → the environment that has leased it."""
    memory_mib: int | None = None
    """That the host can still give away."""
    cores: int | None = None
    disk_bytes: int | None = None
    """Free where environments are made."""
