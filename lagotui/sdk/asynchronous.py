"""The methods of an environment, for asyncio: each may be awaited, and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .machine import CommandStatus, Text

if TYPE_CHECKING:
    from engine.api import RunHandle
    from engine.events import Event
    from engine.state.env import EnvState

    from .environment import SDK

T = TypeVar("T")


class AsyncSDK:
    """Twin of `SDK`: the same names and arguments. Cancelling an awaited one cancels the run, and takes back what it did."""

    def __init__(self, env: SDK) -> None:
        self._env = env

    async def start(self, vm_names: Sequence[str] = ()) -> None:
        await _ended(self._env.engine.start(self._env.prefix, vm_names))

    async def stop(self, vm_names: Sequence[str] = ()) -> None:
        await _ended(self._env.engine.stop(self._env.prefix, vm_names))

    async def shutdown(self, vm_names: Sequence[str] = (), reboot: bool = False) -> None:
        await _ended(self._env.engine.shutdown(self._env.prefix, vm_names, reboot=reboot))

    async def wait_for_ssh(self, vm_name: str) -> None:
        await _ended(self._env.engine.wait_ssh(self._env.prefix, vm_name))

    async def snapshot(self, name: str, vm_names: Sequence[str] = (), *, memory: bool = False, force: bool = False) -> None:
        await _ended(self._env.engine.snapshot(self._env.prefix, name, vm_names, memory=memory, force=force))

    async def revert(self, name: str, vm_names: Sequence[str] = ()) -> None:
        await _ended(self._env.engine.revert(self._env.prefix, name, vm_names))

    async def delete_snapshot(self, name: str, vm_names: Sequence[str] = ()) -> int:
        return await _ended(self._env.engine.delete_snapshot(self._env.prefix, name, vm_names))

    async def deploy(self, vm_names: Sequence[str] = ()) -> None:
        await _ended(self._env.engine.deploy(self._env.prefix, vm_names))

    async def collect_artifacts(self, output_dir: str | Path, ignore_nopath: bool = True) -> None:
        await _ended(self._env.engine.collect(self._env.prefix, Path(output_dir).absolute(), skip_missing=ignore_nopath))

    async def export_vms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._env.export_vms, *args, **kwargs)

    async def destroy(self) -> None:
        await asyncio.to_thread(self._env.destroy)

    async def state(self) -> EnvState:
        return await asyncio.to_thread(self._env.state)

    async def ssh(self, vm_name: str, command: Sequence[str] | str, data: bytes = b"") -> CommandStatus:
        """Run a command in a machine; see `VM.ssh`."""
        words = [command] if isinstance(command, str) else list(command)
        done = await _ended(self._env.engine.run_command(self._env.prefix, vm_name, words, data))
        return CommandStatus(done.code, Text(done.out.decode(errors="replace")), Text(done.err.decode(errors="replace")))

    async def copy_to(self, vm_name: str, local_path: str | Path, remote_path: str) -> None:
        await _ended(self._env.engine.copy_to(self._env.prefix, vm_name, Path(local_path), remote_path))

    async def copy_from(self, vm_name: str, remote_path: str, local_path: str | Path) -> None:
        await _ended(self._env.engine.copy_from(self._env.prefix, vm_name, remote_path, Path(local_path)))

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens from now on; leave the loop to end it."""
        left = False
        coming = self._env.events(until=lambda: left)
        try:
            while (event := await asyncio.to_thread(next, coming, None)) is not None:
                yield event
        finally:
            left = True


async def _ended(run: RunHandle[T]) -> T:
    try:
        return await run
    except asyncio.CancelledError:
        run.cancel()
        raise
