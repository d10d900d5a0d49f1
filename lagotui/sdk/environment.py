"""One environment, as an object."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from .machine import VM
from .narration import Relay
from .net import Net
from .paths import Paths
from .tasks import use_bus

if TYPE_CHECKING:
    from engine.api import Engine
    from engine.events import Event
    from engine.providers.base import HostCpu
    from engine.state.env import EnvState
    from engine.state.prefix import Prefix
    from engine.tasks.snapshot_verbs import SnapshotInfo

    from .asynchronous import AsyncSDK

ANSIBLE_KEYS = ("vm-type", "groups", "vm-provider")
WAKE_S = 0.2
"""How often an iterator of events looks whether it should end."""


class SDK:
    """One environment. Close it when it is no longer needed, or use it in a `with`; its machines run on.

    Several may be open in one process. Every method waits until it is done; `aio` has the same methods for asyncio.
    """

    def __init__(self, engine: Engine, prefix: Prefix) -> None:
        self.engine = engine
        self.prefix = prefix
        self._closed = False
        self._relay = Relay(engine.bus)
        use_bus(engine.bus)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SDK({str(self.prefix.path)!r})"

    def close(self) -> None:
        """Let go of the engine."""
        self._closed = True
        self.engine.close()
        self._relay.end()

    @cached_property
    def aio(self) -> AsyncSDK:
        """The same environment, for asyncio."""
        from .asynchronous import AsyncSDK

        return AsyncSDK(self)

    # --- running ---------------------------------------------------------------------------------------------------

    def start(self, vm_names: Sequence[str] | None = None) -> None:
        """Start machines and their nets; all of them without names. Does not wait for ssh."""
        self.engine.start(self.prefix, vm_names or ()).result()

    def stop(self, vm_names: Sequence[str] | None = None) -> None:
        """Stop machines at once; all of them, and all nets, without names."""
        self.engine.stop(self.prefix, vm_names or ()).result()

    def shutdown(self, vm_names: Sequence[str] | None = None, reboot: bool = False) -> None:
        """Let machines shut themselves down, and wait for it; or restart, without waiting."""
        self.engine.shutdown(self.prefix, vm_names or (), reboot=reboot).result()

    def cleanup(self) -> None:
        """Stop everything and keep the files, without them being an environment any more."""
        self.engine.cleanup(self.prefix).result()

    def destroy(self) -> None:
        """Destroy every environment of the workdir."""
        from engine.state.workdir import Workdir

        workdir = self.prefix.workdir
        for prefix in Workdir.at(workdir).prefixes if workdir else (self.prefix,):
            self.engine.destroy(prefix).result()

    # --- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self, name: str, vm_names: Sequence[str] | None = None, *, memory: bool = False, force: bool = False) -> None:
        """Freeze machines under a name.

        Args:
            name: of the snapshot.
            vm_names: all of them without.
            memory: keep the memory of what runs, too: `revert` brings back running machines.
            force: let an older snapshot of that name go.
        """
        self.engine.snapshot(self.prefix, name, vm_names or (), memory=memory, force=force).result()

    def revert(self, name: str, vm_names: Sequence[str] | None = None) -> None:
        """Go back to a snapshot; what was written since is lost."""
        self.engine.revert(self.prefix, name, vm_names or ()).result()

    def delete_snapshot(self, name: str, vm_names: Sequence[str] | None = None) -> int:
        """Forget a snapshot; return the bytes that became free."""
        return self.engine.delete_snapshot(self.prefix, name, vm_names or ()).result()

    def snapshots(self) -> Mapping[str, tuple[SnapshotInfo, ...]]:
        """Return the snapshots of every machine, oldest first."""
        return self.engine.snapshots(self.prefix)

    # --- files -----------------------------------------------------------------------------------------------------

    def deploy(self, vm_names: Sequence[str] | None = None) -> None:
        """Run the deploy scripts of machines.

        Raises:
            DeployFailed: one ended with an error; the others have come to their end.
        """
        self.engine.deploy(self.prefix, vm_names or ()).result()

    def collect_artifacts(self, output_dir: str | Path, ignore_nopath: bool = True) -> None:
        """Fetch what the init file lists as `artifacts`.

        Args:
            output_dir: made; a folder a machine goes below it.
            ignore_nopath: leave out what is not there.
        """
        self.engine.collect(self.prefix, Path(output_dir).absolute(), skip_missing=ignore_nopath).result()

    def export_vms(
        self,
        vms_names: Sequence[str] | None = None,
        standalone: bool = False,
        export_dir: str | Path = ".",
        compress: bool = False,
        init_file_name: str = "LagoInitFile",
        out_format: object = None,
        collect_only: bool = False,
        with_threads: bool = True,
    ) -> dict[str, Any]:
        """Write disks and an init file that others can make the environment from.

        Args:
            vms_names: all machines without.
            standalone: merge disks with the templates that they stand on.
            export_dir: where to.
            compress: pack every image with xz.
            init_file_name: of the init file there.
            out_format: an object whose `format` makes the text of the init file; None: YAML.
            collect_only: only say which images it would be made of.
            with_threads: disks side by side, or one after another.

        Returns:
            Machine → paths; `init-file` → path of the init file.
        """
        from engine.api import ExportRequest

        if collect_only:
            return dict(self.engine.export_sources(self.prefix, tuple(vms_names or ())))
        request = ExportRequest(
            folder=str(Path(export_dir).absolute()),
            machines=tuple(vms_names or ()),
            standalone=standalone,
            compress=compress,
            init_file_name=init_file_name,
            side_by_side=with_threads,
        )
        dump: Callable[[Any], str] | None = getattr(out_format, "format", None)
        run = self.engine.export(self.prefix, request, dump) if dump else self.engine.export(self.prefix, request)
        return run.result()

    # --- looks -----------------------------------------------------------------------------------------------------

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the prefix says of itself: versions, host."""
        return self.prefix.metadata

    def state(self) -> EnvState:
        """Return the whole environment as it is now."""
        return self.engine.state(self.prefix)

    def status(self) -> dict[str, Any]:
        """Return what the verb `status` prints as JSON."""
        from ..present.status import status_data

        return status_data(self.state())

    def host_cpu(self) -> HostCpu:
        """Return the processor of the host; its fields are "" when nobody can tell."""
        return self.engine.host_cpu(self.prefix)

    def get_vms(self) -> dict[str, VM]:
        """Return the machines by name; of a class of their own where their `vm-type` is a plugin's."""
        from .types import machine_class

        return {name: machine_class(spec.vm_type)(self, name) for name, spec in self.prefix.load_env().machines.items()}

    def get_nets(self) -> dict[str, Net]:
        """Return the nets by name."""
        return {name: Net(self, name) for name in self.prefix.load_env().nets}

    def get_paths(self) -> Paths:
        return Paths(str(self.prefix.path))

    def events(self, *, until: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Return what happens from now on, one event after another, until the environment is closed.

        Args:
            until: asked now and then; true ends it.
        """
        self.engine.watch(self.prefix)
        reader = self.engine.bus.subscribe()

        def coming() -> Iterator[Event]:
            try:
                while not (self._closed or until()):
                    yield from reader.take(WAKE_S)
                yield from reader.take()
            finally:
                reader.close()

        return coming()

    # --- others ----------------------------------------------------------------------------------------------------

    def ansible_inventory(self, keys: Sequence[str] = ANSIBLE_KEYS) -> str:
        """Return an Ansible inventory as text, with a group for every value of every key."""
        from ..present.ansible import inventory_text
        from ..verbs.ansible import host_of

        return inventory_text([host_of(way) for way in self.engine.ssh_ways(self.prefix).values()], keys)

    @contextmanager
    def ansible_inventory_temp_file(self, keys: Sequence[str] = ANSIBLE_KEYS) -> Iterator[IO[str]]:
        """Give the inventory as a file that is there for the length of the block; its `name` is the path."""
        with tempfile.NamedTemporaryFile("w+", prefix="lagotui-", suffix=".ini", encoding="utf-8") as file:
            file.write(self.ansible_inventory(keys))
            file.flush()
            yield file

    def ssh_config(self, vm_names: Sequence[str] | None = None) -> str:
        """Return an ssh_config with which ssh, scp and rsync find the machines by name."""
        return self.engine.ssh_config(self.prefix, tuple(vm_names or ()))
