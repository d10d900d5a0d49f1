"""Step kind → the function that does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..context import TaskContext
from ..plan.forecast import duration_key
from ..plan.model import StepKind
from ..spec import Json
from . import (
    apply_steps,
    bootstrap_steps,
    export_steps,
    external_steps,
    init_steps,
    layer_steps,
    power_steps,
    provided_steps,
    running_steps,
    snapshot_steps,
)
from .runner import Perform
from .scope import RunScope

FETCHED_S = 0.1
"""A template that is there within this time was in the store, or prepared, already: that says nothing of the next one."""

Handler = Callable[[TaskContext, RunScope, str, Mapping[str, Json]], None]

HANDLERS: Mapping[StepKind, Handler] = {
    StepKind.MAKE_PREFIX: init_steps.make_prefix,
    StepKind.CLAIM_SUBNETS: init_steps.claim_subnets,
    StepKind.MAKE_KEYS: init_steps.make_keys,
    StepKind.FETCH_TEMPLATE: init_steps.fetch_template,
    StepKind.FETCH_IMAGE: init_steps.fetch_image,
    StepKind.EXTRACT_OVA: init_steps.extract_ova,
    StepKind.COPY_SCRIPTS: init_steps.copy_scripts,
    StepKind.MAKE_DISK: init_steps.make_disk,
    StepKind.MAKE_SEED: init_steps.make_seed,
    StepKind.PREPARE_IMAGE: bootstrap_steps.prepare_image,
    StepKind.BOOTSTRAP: bootstrap_steps.bootstrap,
    StepKind.BUILD: bootstrap_steps.build_disk,
    StepKind.SAVE_ENV: init_steps.save_env,
    StepKind.KEEP_INIT_FILE: apply_steps.keep_init_file,
    StepKind.PROVIDE_MACHINE: provided_steps.make,
    StepKind.UNPROVIDE_MACHINE: provided_steps.unmake,
    StepKind.FINISH_PREFIX: init_steps.finish_prefix,
    StepKind.START_NET: running_steps.start_net,
    StepKind.START_MACHINE: running_steps.start_machine,
    StepKind.WAIT_SSH: running_steps.wait_ssh,
    StepKind.WAIT_READY: running_steps.wait_ready,
    StepKind.STOP_MACHINE: running_steps.stop_machine,
    StepKind.SHUT_DOWN_MACHINE: power_steps.shut_down_machine,
    StepKind.REBOOT_MACHINE: power_steps.reboot_machine,
    StepKind.UNMARK_PREFIX: power_steps.unmark_prefix,
    StepKind.STOP_NET: running_steps.stop_net,
    StepKind.SNAPSHOT_MACHINE: snapshot_steps.snapshot_machine,
    StepKind.UNSNAPSHOT_MACHINE: snapshot_steps.unsnapshot_machine,
    StepKind.PAUSE_MACHINE: snapshot_steps.pause_machine,
    StepKind.RESUME_MACHINE: snapshot_steps.resume_machine,
    StepKind.CHECKPOINT_MACHINE: snapshot_steps.checkpoint_machine,
    StepKind.UNCHECKPOINT_MACHINE: snapshot_steps.uncheckpoint_machine,
    StepKind.CHECK_SNAPSHOT: snapshot_steps.check_snapshot,
    StepKind.MAKE_OVERLAYS: snapshot_steps.make_overlays,
    StepKind.SAVE_MACHINE: snapshot_steps.save_machine,
    StepKind.RESTORE_MACHINE: snapshot_steps.restore_machine,
    StepKind.SET_CLOCK: snapshot_steps.set_clock,
    StepKind.REMOVE_LEFTOVERS: layer_steps.remove_leftovers,
    StepKind.MERGE_LAYER: layer_steps.merge_layer,
    StepKind.MAKE_HOST_KEYS: apply_steps.make_host_keys,
    StepKind.UNMAKE_HOST_KEYS: apply_steps.unmake_host_keys,
    StepKind.GROW_DISK: apply_steps.grow_disk,
    StepKind.SET_ASIDE: apply_steps.set_aside,
    StepKind.PUT_BACK: apply_steps.put_back,
    StepKind.REMOVE_FILES: apply_steps.remove_files,
    StepKind.UPDATE_SPEC: apply_steps.update_spec,
    StepKind.UPDATE_NET: apply_steps.update_net,
    StepKind.RELEASE_SUBNETS: init_steps.release_subnets,
    StepKind.REMOVE_PREFIX: init_steps.remove_prefix,
    StepKind.MAKE_EXPORT_FOLDER: export_steps.make_export_folder,
    StepKind.EXPORT_DISK: export_steps.export_disk,
    StepKind.WRITE_EXPORT: export_steps.write_export,
    StepKind.PUBLISH_EXPORT: export_steps.publish_export,
    StepKind.UNPUBLISH_EXPORT: export_steps.unpublish_export,
    StepKind.CLEAR_EXPORT: export_steps.clear_export,
    StepKind.UNPACK_IMAGE: export_steps.unpack_image,
}


def performer(scope: RunScope) -> Perform:
    """Return what does the steps of a run in its scope."""

    def perform(ctx: TaskContext, kind: StepKind, subject: str, args: Mapping[str, Json]) -> None:
        handler = external_steps.instead(scope, kind, subject) or HANDLERS[kind]
        handler(ctx, scope, subject, args)

    return perform


def timed(perform: Perform, took_s: dict[str, list[float]]) -> Perform:
    """Return what does the same, and notes how long every step took that ended well."""

    def perform_timed(ctx: TaskContext, kind: StepKind, subject: str, args: Mapping[str, Json]) -> None:
        started_s = time.monotonic()
        perform(ctx, kind, subject, args)
        spent_s = time.monotonic() - started_s
        if kind not in (StepKind.FETCH_TEMPLATE, StepKind.PREPARE_IMAGE) or spent_s > FETCHED_S:
            took_s.setdefault(duration_key(kind, subject), []).append(spent_s)

    return perform_timed
