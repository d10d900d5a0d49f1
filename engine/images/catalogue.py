"""All templates that an init file can name: those of the chosen repository, and the built-in ones that are always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..spec import Json
from ..state.home import cache_home
from .copying import digest_file
from .hashes import Digests
from .repository import Fetched, Repository, TemplateRef, load_repository, missing

BUILT_IN = "lagotui"
"""Name of the built-in repository."""

TINY_VERSION = "1"
"""Rises when the builder makes another image, so that a store with the old one gets the new one too."""


@dataclass(frozen=True, slots=True)
class TinyImage:
    """The tiny guest: built here, on first use."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        from .tiny import build_tiny

        metadata = build_tiny(ctx, out, cache_home() / "tiny")
        digests = Digests({"sha1"})
        digest_file(ctx, out, digests)
        return Fetched(metadata, digests.result("sha1"))

    def metadata(self) -> Mapping[str, Json]:
        from .tiny import METADATA

        return METADATA


@dataclass(frozen=True, slots=True)
class Catalogue:
    repositories: Sequence[Repository]
    """A template is taken from the first one that has its name."""

    def find(self, name: str, version: str | None = None) -> TemplateRef:
        """Return one version of a template, the newest when `version` is None.

        Raises:
            TemplateMissing: nobody has it.
        """
        for repository in self.repositories:
            if name in repository.templates:
                return repository.find(name, version)
        places = " and ".join(repository.place for repository in self.repositories)
        raise missing(f"no template '{name}' in {places}", name, list(self.names()))

    def templates(self) -> tuple[TemplateRef, ...]:
        """Return every version of every template, by name, the newest first."""
        found: dict[str, tuple[TemplateRef, ...]] = {}
        for repository in reversed(self.repositories):
            found.update(repository.templates)
        return tuple(ref for name in sorted(found) for ref in found[name])

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return name → versions, the newest first: what a check of an init file needs to know."""
        versions: dict[str, tuple[str, ...]] = {}
        for ref in self.templates():
            versions[ref.name] = (*versions.get(ref.name, ()), ref.version)
        return versions


def load_catalogue(repo_path: str = "") -> Catalogue:
    """Return the templates of the repository at `repo_path` ("": none) and the built-in ones.

    Raises:
        TemplateError: the repository cannot be read or understood.
    """
    chosen = [load_repository(repo_path)] if repo_path else []
    return Catalogue((*chosen, _built_in()))


def _built_in() -> Repository:
    tiny = TemplateRef(BUILT_IN, "tiny", TINY_VERSION, 0.0, TinyImage())
    return Repository(BUILT_IN, "the built-in catalogue", {"tiny": (tiny,)})
