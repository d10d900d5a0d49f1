"""All templates that an init file can name: those of the chosen repository, those that were imported, and the built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..config import Settings
from ..context import TaskContext, current_task
from ..errors import TemplateError
from ..spec import Json
from ..state.home import cache_home
from .copying import digest_file
from .hashes import Digests
from .repository import Repository, TemplateRef, load_repository, missing
from .sources import Fetched, KeptImage
from .store import Store
from .web import DEFAULT_LIMITS, Limits

BUILT_IN = "lagotui"
"""Name of the built-in repository."""

LOCAL = "local"
"""Name of the repository of images that the user imported; they are in the store and nowhere else."""

TINY_VERSION = "1"
"""Rises when the builder makes another image, so that a store with the old one gets the new one too."""

DEBIAN_VERSION = "1"
"""As TINY_VERSION. Which release of Debian it is depends on the machine that builds it; the image's metadata says so."""

Build = Callable[[TaskContext, Path, Path], Mapping[str, Json]]
"""Writes an image, with a folder to work in; returns its metadata."""

STARTER = Path(__file__).with_name("starter") / "repo.json"
"""Cloud images of the distributions, at their publishers."""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A template that is built here, on first use."""

    name: str
    """`tiny` or `debian`; its packages are kept under that name."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        build, _ = self._builder()
        return _hashed(ctx, out, build(ctx, out, cache_home() / self.name))

    def metadata(self) -> Mapping[str, Json]:
        _, metadata = self._builder()
        return metadata

    def known(self) -> Mapping[str, Json]:
        return self.metadata()

    def size(self, ctx: TaskContext) -> int | None:
        return None

    def _builder(self) -> tuple[Build, Mapping[str, Json]]:
        """Return what builds it, and what is known of it before; loaded only when it is asked for."""
        if self.name == "debian":
            from . import debian

            return debian.build_debian, debian.METADATA
        from . import tiny

        return tiny.build_tiny, tiny.METADATA


def _hashed(ctx: TaskContext, image: Path, metadata: Mapping[str, Json]) -> Fetched:
    digests = Digests({"sha1"})
    digest_file(ctx, image, digests)
    return Fetched(metadata, digests.result("sha1"))


@dataclass(frozen=True, slots=True)
class Catalogue:
    repositories: Sequence[Repository]
    """A template is taken from the first one that has its name."""
    _told: set[str] = field(default_factory=set)
    """Names of the past whose stand-ins have been announced."""

    def find(self, name: str, version: str | None = None) -> TemplateRef:
        """Return one version of a template, the newest when `version` is None. Whoever asks by an old name is told what it stands for.

        Raises:
            TemplateMissing: nobody has it.
        """
        for repository in self.repositories:
            if name in repository.templates or name in repository.aliases:
                ref = repository.find(name, version)
                self._tell(name, ref)
                return ref
        places = " and ".join(repository.place for repository in self.repositories)
        raise missing(f"no template '{name}' in {places}", name, list(self.names()))

    def templates(self) -> tuple[TemplateRef, ...]:
        """Return every version of every template, by name, the newest first."""
        found: dict[str, tuple[TemplateRef, ...]] = {}
        for repository in reversed(self.repositories):
            found.update(repository.templates)
        return tuple(ref for name in sorted(found) for ref in found[name])

    def aliases(self) -> Mapping[str, str]:
        """Return other names → the template that each stands for."""
        found: dict[str, str] = {}
        for repository in reversed(self.repositories):
            found = {name: template for name, template in found.items() if name not in repository.templates} | dict(repository.aliases)
        return found

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return name → versions, the newest first, other names included: what a check of an init file needs to know."""
        versions: dict[str, tuple[str, ...]] = {}
        for repository in reversed(self.repositories):
            for alias, template in repository.aliases.items():
                versions[alias] = tuple(ref.version for ref in repository.templates[template])
            versions |= {name: tuple(ref.version for ref in refs) for name, refs in repository.templates.items()}
        return versions

    def _tell(self, name: str, ref: TemplateRef) -> None:
        task = current_task()
        if task is not None and ref.name != name and name not in self._told:
            self._told.add(name)
            task.tell(f"template '{name}' is '{ref.name}' here, the nearest that is published today")


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the templates that the settings let an init file name; see `load_catalogue`."""
    limits = Limits.of(settings.template_timeout)
    return load_catalogue(settings.template_repo_path, settings.template_repos, settings.template_store, limits)


def load_catalogue(repo_path: str = "", repos: Path | None = None, store: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Catalogue:
    """Return the templates of a repository, the imported ones and the built-in ones.

    Args:
        repo_path: path, address or name of the repository; "": none.
        repos: folder where it is looked for by name.
        store: folder of the store, where the imported images are.
        limits: how patient we are with servers.

    Raises:
        TemplateError: the repository cannot be read or understood.
    """
    chosen = [load_repository(repo_path, repos, limits)] if repo_path else []
    if chosen and chosen[0].name in (BUILT_IN, LOCAL):
        raise TemplateError(f"repository {chosen[0].place} is named '{chosen[0].name}', as one of lagotui's own is; give it another name")
    imported = _imported(Store(store)) if store is not None else None
    return Catalogue((*chosen, *((imported,) if imported is not None and imported.templates else ()), _built_in(limits)))


@cache
def _built_in(limits: Limits) -> Repository:
    starter = load_repository(str(STARTER), limits=limits)
    tiny = TemplateRef(BUILT_IN, "tiny", TINY_VERSION, 0.0, BuiltImage("tiny"))
    debian = TemplateRef(BUILT_IN, "debian", DEBIAN_VERSION, 0.0, BuiltImage("debian"))
    return Repository(BUILT_IN, "the built-in catalogue", {**starter.templates, "tiny": (tiny,), "debian": (debian,)}, starter.aliases)


def _imported(store: Store) -> Repository:
    found: dict[str, tuple[TemplateRef, ...]] = {}
    for image in store.listing():
        if image.repo == LOCAL:
            ref = TemplateRef(LOCAL, image.name, image.version, image.path.stat().st_mtime, KeptImage(image.path, image.metadata))
            found[image.name] = (*found.get(image.name, ()), ref)
    newest_first = {name: tuple(sorted(refs, key=lambda ref: ref.timestamp, reverse=True)) for name, refs in found.items()}
    return Repository(LOCAL, f"the store '{store.root}'", newest_first)
