"""The verbs about templates, as runs: they return at once, tell their story on the bus, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..config import Settings
from ..context import TaskContext
from .runs import Run, RunHandle, Runs
from .threads import in_thread

if TYPE_CHECKING:
    from ..images.importing import Imported, ImportRequest
    from ..images.prune import Pruned
    from ..images.publish import Published
    from ..images.service import PublishOptions, TemplateDetails, TemplateEntry, Templates

T = TypeVar("T")


class TemplateRuns:
    """What an engine does with templates."""

    def __init__(self, runs: Runs, settings: Settings) -> None:
        self._runs = runs
        self._settings = settings

    def listing(self) -> list[TemplateEntry]:
        """Return the templates of the catalogue, and what of them is in the store. Blocks."""
        return self._templates().listing()

    def details(self, name: str, version: str | None = None) -> RunHandle[TemplateDetails]:
        """Find out about a template."""
        return self._start(f"Look at template {name}", lambda ctx: self._templates().details(ctx, name, version))

    def pull(self, name: str, version: str | None = None) -> RunHandle[Path]:
        """Bring a template into the store."""
        return self._start(f"Fetch template {name}", lambda ctx: self._templates().pull(ctx, name, version))

    def import_image(self, request: ImportRequest) -> RunHandle[Imported]:
        """Put an image of the user's into the store as a template."""
        return self._start(f"Import template {request.name}", lambda ctx: self._templates().import_image(ctx, request))

    def publish(self, name: str, folder: Path, options: PublishOptions) -> RunHandle[Published]:
        """Add an image to a repository in a folder."""
        return self._start(f"Publish template {name}", lambda ctx: self._templates().publish(ctx, name, folder, options))

    def prune(self, *, dry_run: bool = False, all_unused: bool = False, shared: bool = False) -> RunHandle[Pruned]:
        """Remove images that no environment stands on."""
        return self._start(
            "Prune the template store",
            lambda ctx: self._templates().prune(ctx, dry_run=dry_run, all_unused=all_unused, shared=shared),
        )

    def _templates(self) -> Templates:
        from ..images.service import Templates

        return Templates(self._settings)

    def _start(self, title: str, work: Callable[[TaskContext], T]) -> RunHandle[T]:
        async def body(run: Run) -> T:
            return await in_thread("template", lambda: work(run.ctx))

        return self._runs.start("template", title, None, body)
