"""Step kind → the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..context import TaskContext
from ..plan.model import StepKind
from ..spec import Json
from . import init_steps, running_steps
from .runner import Perform
from .scope import RunScope

Handler = Callable[[TaskContext, RunScope, str, Mapping[str, Json]], None]

HANDLERS: Mapping[StepKind, Handler] = {
    StepKind.MAKE_PREFIX: init_steps.make_prefix,
    StepKind.CLAIM_SUBNETS: init_steps.claim_subnets,
    StepKind.MAKE_KEYS: init_steps.make_keys,
    StepKind.FETCH_TEMPLATE: init_steps.fetch_template,
    StepKind.MAKE_DISK: init_steps.make_disk,
    StepKind.MAKE_SEED: init_steps.make_seed,
    StepKind.SAVE_ENV: init_steps.save_env,
    StepKind.FINISH_PREFIX: init_steps.finish_prefix,
    StepKind.START_NET: running_steps.start_net,
    StepKind.START_MACHINE: running_steps.start_machine,
    StepKind.WAIT_SSH: running_steps.wait_ssh,
    StepKind.STOP_MACHINE: running_steps.stop_machine,
    StepKind.STOP_NET: running_steps.stop_net,
    StepKind.SNAPSHOT_MACHINE: running_steps.snapshot_machine,
    StepKind.UNSNAPSHOT_MACHINE: running_steps.unsnapshot_machine,
    StepKind.REVERT_DISKS: running_steps.revert_disks,
    StepKind.RELEASE_SUBNETS: init_steps.release_subnets,
    StepKind.REMOVE_PREFIX: init_steps.remove_prefix,
}


def performer(scope: RunScope) -> Perform:
    """Return what does the steps of a run in its scope."""

    def perform(ctx: TaskContext, kind: StepKind, subject: str, args: Mapping[str, Json]) -> None:
        HANDLERS[kind](ctx, scope, subject, args)

    return perform
