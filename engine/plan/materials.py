"""What planning an init needs to know from outside: templates, images, archives. Data only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..spec import Json

TemplateKey = tuple[str, str | None]
"""Name and version of a template, as it is asked for; no version means the newest."""


@dataclass(frozen=True, slots=True)
class ResolvedTemplate:
    """A template that the catalogue knows, with what its metadata says."""

    repo: str
    name: str
    version: str
    image: str
    """Absolute path in the store, also when it is not there yet."""
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image of the user's."""

    format: str
    """As probed."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """Of the sidecar beside it."""
    parent: TemplateKey | None = None
    """The template that it stands on, where that must come from the store: the file that should be it is not there."""
    between: tuple[str, ...] = ()
    """Images between it and that template, the upper ones first."""
    packed: bool = False
    """It is packed with xz, and is unpacked into the prefix."""


@dataclass(frozen=True, slots=True)
class OvaDisk:
    name: str
    member: str
    """Path in the archive."""


@dataclass(frozen=True, slots=True)
class OvaFacts:
    """What the description in an OVA archive says."""

    name: str
    """File name of the archive."""
    path: str | None
    """Absolute path of an archive of the user's; None: it is fetched, and goes when its disks are out."""
    memory_mib: int | None
    vcpu: int | None
    disks: tuple[OvaDisk, ...]


@dataclass(frozen=True, slots=True)
class InitFacts:
    """What planning an init needs to know from outside."""

    prefix: str
    workdir: str
    name: str
    """Of the prefix in its workdir."""
    uuid: str
    host: str
    templates: Mapping[TemplateKey, ResolvedTemplate]
    """By the name and version that disks, and images below disks, ask for."""
    images: Mapping[str, ImageFacts] = field(default_factory=dict)
    """By path: what `file` disks and layered template disks stand on."""
    archives: Mapping[str, OvaFacts] = field(default_factory=dict)
    """By the `url` of the machine; one that is missing has not been fetched yet."""
    taken: Collection[str] = ()
    """Names in the folder of images that are in use already."""
    set_current: bool = False
    bootstrap: bool = True
    build: bool = True
    """Run the build commands of disks."""
