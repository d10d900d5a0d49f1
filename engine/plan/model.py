"""Step and Plan: the unit of work that is shown, run, journaled, rolled back and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from ..spec import Json


class StepKind(StrEnum):
    """Everything that a run can do; `engine/tasks/steps.py` says how."""

    MAKE_PREFIX = "make-prefix"
    CLAIM_SUBNETS = "claim-subnets"
    MAKE_KEYS = "make-keys"
    FETCH_TEMPLATE = "fetch-template"
    FETCH_IMAGE = "fetch-image"
    EXTRACT_OVA = "extract-ova"
    COPY_SCRIPTS = "copy-scripts"
    MAKE_DISK = "make-disk"
    MAKE_SEED = "make-seed"
    PREPARE_IMAGE = "prepare-image"
    BOOTSTRAP = "bootstrap"
    BUILD = "build"
    SAVE_ENV = "save-env"
    KEEP_INIT_FILE = "keep-init-file"
    PROVIDE_MACHINE = "provide-machine"
    UNPROVIDE_MACHINE = "unprovide-machine"
    FINISH_PREFIX = "finish-prefix"
    START_NET = "start-net"
    START_MACHINE = "start-machine"
    WAIT_SSH = "wait-ssh"
    WAIT_READY = "wait-ready"
    STOP_MACHINE = "stop-machine"
    SHUT_DOWN_MACHINE = "shut-down-machine"
    REBOOT_MACHINE = "reboot-machine"
    STOP_NET = "stop-net"
    SNAPSHOT_MACHINE = "snapshot-machine"
    UNSNAPSHOT_MACHINE = "unsnapshot-machine"
    PAUSE_MACHINE = "pause-machine"
    RESUME_MACHINE = "resume-machine"
    CHECKPOINT_MACHINE = "checkpoint-machine"
    UNCHECKPOINT_MACHINE = "uncheckpoint-machine"
    CHECK_SNAPSHOT = "check-snapshot"
    MAKE_OVERLAYS = "make-overlays"
    SAVE_MACHINE = "save-machine"
    RESTORE_MACHINE = "restore-machine"
    SET_CLOCK = "set-clock"
    REMOVE_LEFTOVERS = "remove-leftovers"
    MERGE_LAYER = "merge-layer"
    MAKE_HOST_KEYS = "make-host-keys"
    UNMAKE_HOST_KEYS = "unmake-host-keys"
    GROW_DISK = "grow-disk"
    SET_ASIDE = "set-aside"
    PUT_BACK = "put-back"
    REMOVE_FILES = "remove-files"
    UPDATE_SPEC = "update-spec"
    UPDATE_NET = "update-net"
    UNMARK_PREFIX = "unmark-prefix"
    RELEASE_SUBNETS = "release-subnets"
    REMOVE_PREFIX = "remove-prefix"
    MAKE_EXPORT_FOLDER = "make-export-folder"
    EXPORT_DISK = "export-disk"
    WRITE_EXPORT = "write-export"
    PUBLISH_EXPORT = "publish-export"
    UNPUBLISH_EXPORT = "unpublish-export"
    CLEAR_EXPORT = "clear-export"
    UNPACK_IMAGE = "unpack-image"


class Resource(StrEnum):
    """What a step occupies; the runner bounds how many steps share one."""

    DISK = "disk"
    NETWORK = "network"
    HYPERVISOR = "hypervisor"
    GUEST = "guest"
    APPLIANCE = "appliance"
    """A small virtual machine of libguestfs: a core, and a gigabyte of memory."""
    NONE = "none"


class Recovery(StrEnum):
    """What is done with a run whose process died."""

    UNDO = "undo"
    """Take back what was done, last first."""
    FINISH = "finish"
    """Do what is left; every step of such a plan may be done twice."""


@dataclass(frozen=True, slots=True)
class Inverse:
    """How a step is taken back; doing it when the step never happened changes nothing."""

    kind: StepKind
    args: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    """Unique in its plan, and readable: `start-machine:vm0`."""
    kind: StepKind
    subject: str
    """The machine, net, disk or template that it is about."""
    title: str
    """Name in the task tree, in the predecessor's words: `Starting VM vm0`."""
    args: Mapping[str, Json] = field(default_factory=dict)
    """JSON values only: the journal keeps them."""
    after: tuple[str, ...] = ()
    """Ids of the steps that must have ended well before."""
    resource: Resource = Resource.NONE
    group: tuple[str, ...] = ()
    """Titles of the tasks it stands below, outermost first: `("Start nets",)`."""
    inverse: Inverse | None = None
    """None: there is nothing to take back."""
    journaled: bool = True
    """False for steps that only look and wait."""

    def to_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "kind": self.kind.value,
            "subject": self.subject,
            "title": self.title,
            "args": dict(self.args),
            "after": list(self.after),
            "resource": self.resource.value,
            "group": list(self.group),
            "inverse": {"kind": self.inverse.kind.value, "args": dict(self.inverse.args)} if self.inverse else None,
            "journaled": self.journaled,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        inverse = data.get("inverse")
        return cls(
            id=data["id"],
            kind=StepKind(data["kind"]),
            subject=data["subject"],
            title=data["title"],
            args=data["args"],
            after=tuple(data["after"]),
            resource=Resource(data["resource"]),
            group=tuple(data["group"]),
            inverse=Inverse(StepKind(inverse["kind"]), inverse["args"]) if inverse else None,
            journaled=data["journaled"],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    verb: str
    title: str
    """Name of the root task: `Start Prefix`."""
    prefix: str
    """Absolute path of the prefix it works on."""
    uuid: str
    """Of the prefix."""
    host: str
    """The libvirt host that it works on: `private`, `system` or a URI."""
    steps: tuple[Step, ...]
    recovery: Recovery = Recovery.UNDO
    notes: tuple[str, ...] = ()
    """What a person should know: infos found while planning, what will be lost."""

    def to_json(self) -> dict[str, Json]:
        return {
            "verb": self.verb,
            "title": self.title,
            "prefix": self.prefix,
            "uuid": self.uuid,
            "host": self.host,
            "steps": [step.to_json() for step in self.steps],
            "recovery": self.recovery.value,
            "notes": list(self.notes),
        }

    def moved(self, prefix: str) -> Self:
        """Return the plan with its prefix, and every path in it, elsewhere."""
        return type(self).from_json(_moved(self.to_json(), self.prefix, prefix))

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(
            verb=data["verb"],
            title=data["title"],
            prefix=data["prefix"],
            uuid=data["uuid"],
            host=data["host"],
            steps=tuple(Step.from_json(step) for step in data["steps"]),
            recovery=Recovery(data["recovery"]),
            notes=tuple(data["notes"]),
        )


def _moved(value: Json, old: str, new: str) -> Json:
    if isinstance(value, dict):
        return {key: _moved(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, old, new) for each in value]
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value.removeprefix(old)
    return value
