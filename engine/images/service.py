"""What can be done with templates: seen, fetched, imported, published, pruned. Blocking; each takes the task it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import Settings
from ..context import TaskContext
from ..errors import TemplateError, TemplateMissing
from ..spec import Json
from .catalogue import BUILT_IN, LOCAL, Catalogue, catalogue_of
from .disks import probe
from .importing import Imported, ImportRequest, import_image
from .prune import Pruned, prune
from .publish import Published, PublishRequest, publish
from .repository import TemplateRef
from .sources import HttpImage
from .store import Store, StoredImage
from .trouble import shown


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    """One version of a template, as far as it is known without asking anybody."""

    repo: str
    name: str
    version: str
    aliases: tuple[str, ...]
    """Other names that it answers to."""
    in_store: bool
    size_bytes: int
    """In the store; 0 while it is not there."""
    is_known: bool
    """False: it is in the store, but no repository of the catalogue has it."""
    origin: str
    """Where it comes from."""
    metadata: Mapping[str, Json]
    flaw: str = ""
    """Why what is known of the image in the store cannot be read."""


@dataclass(frozen=True, slots=True)
class TemplateDetails:
    """What can be found out about a template, asking where it comes from."""

    entry: TemplateEntry
    versions: tuple[str, ...]
    """The newest first."""
    path: Path | None
    """In the store; None while it is not there."""
    format: str | None
    virtual_size: int | None
    download_bytes: int | None


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What `template publish` may be told beyond name and folder."""

    source: str | None = None
    """Path of an image, or `template[:version]`; None: the template of that name."""
    version: str | None = None
    distro: str | None = None
    cloud_init: bool | None = None
    repo_name: str | None = None
    baseurl: str | None = None


@dataclass(frozen=True, slots=True)
class Templates:
    settings: Settings

    def catalogue(self) -> Catalogue:
        return catalogue_of(self.settings)

    def store(self) -> Store:
        return Store(self.settings.template_store)

    def listing(self) -> list[TemplateEntry]:
        """Return the templates of the catalogue, and what else is in the store; nobody is asked but the chosen repository.

        Raises:
            TemplateError: the repository or the store cannot be read.
        """
        catalogue, store = self.catalogue(), self.store()
        stored = {(image.repo, image.name, image.version): image for image in store.listing()}
        aliases = catalogue.aliases()
        entries = [_entry(ref, stored.pop((ref.repo, ref.name, ref.version), None), aliases) for ref in catalogue.templates()]
        return entries + [_unknown(image) for image in stored.values()]

    def details(self, ctx: TaskContext, name: str, version: str | None = None) -> TemplateDetails:
        """Return all that can be found out about a template.

        Raises:
            TemplateError: nobody has it, or what is known of it cannot be read.
        """
        catalogue, store = self.catalogue(), self.store()
        ref = catalogue.find(name, version)
        image = next((image for image in store.listing() if image.path == store.path_of(ref)), None)
        info = probe(ctx, image.path) if image else None
        entry = _entry(ref, image, catalogue.aliases(), None if image else ref.source.metadata())
        return TemplateDetails(
            entry,
            catalogue.names()[ref.name],
            image.path if image else None,
            info.format if info else None,
            info.virtual_size if info else None,
            0 if image else ref.source.size(ctx),
        )

    def pull(self, ctx: TaskContext, name: str, version: str | None = None) -> Path:
        """Bring a template into the store; return its path there.

        Raises:
            TemplateError: nobody has it, or it cannot be had.
        """
        store, ref = self.store(), self.catalogue().find(name, version)
        if store.has(ref):
            ctx.log(f"'{ref.name}' {ref.version} is in the store already")
        return store.fetch(ctx, ref)

    def import_image(self, ctx: TaskContext, request: ImportRequest) -> Imported:
        """Put the user's image into the store as a template; see `importing.import_image`."""
        imported = import_image(ctx, self.store(), request)
        catalogue = self.catalogue()
        found = catalogue.find(request.name)
        if found.repo != LOCAL:
            ctx.tell(f"template '{request.name}' of repository '{found.repo}' comes first: init files that name it get that one")
        elif any(request.name in (*each.templates, *each.aliases) for each in catalogue.repositories if each.name == BUILT_IN):
            ctx.tell(f"init files that name '{request.name}' get this image from now on, not the one of the built-in catalogue")
        return imported

    def publish(self, ctx: TaskContext, name: str, folder: Path, options: PublishOptions) -> Published:
        """Add an image to a repository in a folder; see `publish.publish`."""
        path, metadata = self._image(ctx, options.source or name)
        return publish(
            ctx,
            PublishRequest(
                name=name,
                folder=folder,
                source=path,
                known=(self.settings.template_store,),
                metadata=metadata,
                version=options.version,
                distro=options.distro,
                cloud_init=options.cloud_init,
                repo_name=options.repo_name,
                baseurl=options.baseurl,
            ),
        )

    def prune(self, ctx: TaskContext, *, dry_run: bool = False, all_unused: bool = False, shared: bool = False) -> Pruned:
        """Remove images that no environment stands on; see `prune.prune`."""
        return prune(ctx, self.store(), dry_run=dry_run, all_unused=all_unused, shared=shared)

    def _image(self, ctx: TaskContext, source: str) -> tuple[Path, Mapping[str, Json] | None]:
        """Return an image by path or by template, and its metadata where that does not lie beside it."""
        path = Path(source).expanduser()
        if "/" in source or path.is_file():
            return path, None
        name, version = split_version(source)
        store, catalogue = self.store(), self.catalogue()
        try:
            ref = catalogue.find(name, version)
        except TemplateMissing as missing:
            raise TemplateMissing(f"'{source}' is no file here, and there is {missing.message}") from missing
        return store.fetch(ctx, ref), store.metadata(ref)


def split_version(text: str) -> tuple[str, str | None]:
    """Take `NAME[:VERSION]` apart.

    Raises:
        TemplateError: there is no name, or nothing behind the colon.
    """
    name, colon, version = text.partition(":")
    if not name or (colon and not version):
        raise TemplateError(f"'{text}' names no template", hint="write NAME or NAME:VERSION")
    return name, version or None


def _entry(
    ref: TemplateRef, image: StoredImage | None, aliases: Mapping[str, str], metadata: Mapping[str, Json] | None = None
) -> TemplateEntry:
    known = metadata if metadata is not None else ref.source.known()
    return TemplateEntry(
        repo=ref.repo,
        name=ref.name,
        version=ref.version,
        aliases=tuple(sorted(alias for alias, template in aliases.items() if template == ref.name)),
        in_store=image is not None,
        size_bytes=image.size_bytes if image else 0,
        is_known=True,
        origin=_origin(ref),
        metadata=image.metadata if image else known,
        flaw=image.flaw if image else "",
    )


def _unknown(image: StoredImage) -> TemplateEntry:
    return TemplateEntry(
        image.repo, image.name, image.version, (), True, image.size_bytes, False, str(image.path), image.metadata, image.flaw
    )


def _origin(ref: TemplateRef) -> str:
    source = ref.source
    if isinstance(source, HttpImage):
        return shown(source.url)
    path = getattr(source, "path", None)
    if path is not None:
        return str(path)
    return "built here" if ref.repo == BUILT_IN else type(source).__name__
