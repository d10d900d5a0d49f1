"""Export, as a run, and the look at what it would be made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..plan.export import ExportRequest, sources
from ..spec import Json
from ..state.prefix import Prefix
from .changing import Changing
from .export_facts import Dump, prepare_export
from .runs import Run, RunHandle
from .threads import in_thread

INIT_FILE = "init-file"
"""Key of the result, beside the names of machines; the predecessor's."""


def as_yaml(data: Mapping[str, Json]) -> str:
    """Return an init file in its usual form, with its keys in the order of their weight."""
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return text


class ExportVerbs(Changing):
    """Turns environments into files that others can make them from."""

    def export(self, env: Prefix, request: ExportRequest, dump: Dump = as_yaml) -> RunHandle[dict[str, Any]]:
        """Write the disks of machines and an init file into a folder, all of it or nothing.

        Args:
            env: the environment.
            request: what of it, and where.
            dump: how the init file is written.

        Returns:
            Machine → paths of its images; `init-file` → path of the init file.
        """

        async def body(run: Run) -> dict[str, Any]:
            state = await self._state(env, request.machines)
            prepared = await in_thread("plan", lambda: prepare_export(self.kit, run.ctx, env, state, request, dump))
            await self._do(run, prepared.plan, prepared.tidy)
            run.ctx.tell(f"exported; make it anew anywhere with: lagotui --run init {prepared.init_file}")
            return {**prepared.disks, INIT_FILE: prepared.init_file}

        return self._change("export", "Export", env, body)

    def export_sources(self, env: Prefix, machines: Sequence[str] = (), snapshot: str = "") -> dict[str, list[str]]:
        """Return machine → the images that an export would be made of.

        Raises:
            MachineStateError: a machine is up.
        """
        return sources(self.kit.state(env, machines), machines, snapshot)
