"""What the disks of a machine stand on, so that libvirt need not find it out and leaves those files as they are.

Left to itself the system's libvirt gives every file below a disk to its qemu user and never gives it back: templates of the store, and the
user's own images, would change their owner with the first start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...context import TaskContext
from ...errors import TemplateError
from ...images.disks import probe
from ...spec import DiskSpec, MachineSpec


@dataclass(frozen=True, slots=True)
class Layer:
    """An image that something stands on; it is only read."""

    path: str
    format: str


Chains = Mapping[str, tuple[Layer, ...]]
"""Name of a disk in the guest → what it stands on, the nearest first. Disks that are not in it are left to libvirt."""


def chains_of(ctx: TaskContext, machine: MachineSpec) -> Chains:
    """Return what the disks of `machine` stand on; images that cannot be looked at are left out."""
    chains: dict[str, tuple[Layer, ...]] = {}
    for disk in machine.disks:
        if disk.format != "qcow2" or not disk.path:
            continue
        try:
            chains[disk.dev] = _layers(ctx, disk)
        except TemplateError as error:
            ctx.log(f"disk '{disk.name}' of machine '{machine.name}' is left to libvirt: {error.message}", logging.DEBUG)
    return chains


def _layers(ctx: TaskContext, disk: DiskSpec) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    image = probe(ctx, Path(disk.path or ""))
    while image.backing is not None:
        below = probe(ctx, image.backing)
        # The recorded format goes first: a guest can write anything into a raw image, a qcow2 header that names other files included.
        layers.append(Layer(str(image.backing), image.backing_format or below.format))
        if layers[-1].format == "raw":
            break
        if len(layers) > len({layer.path for layer in layers}):
            raise TemplateError(f"image '{disk.path}' stands on itself, through '{image.backing}'")
        image = below
    return tuple(layers)
