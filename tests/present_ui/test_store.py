"""The state of the UI: events in, state out."""

from __future__ import annotations

from engine.events import EnvChanged, MachineChanged, Outcome, SnapshotChanged, TaskFinished, TaskLog, TaskStarted
from engine.spec import MachineStatus
from lagotui.store import READINGS_KEPT, RUNS_KEPT, AppState, EnvironmentsLoaded, LookFailed, StateLoaded, StatsLoaded, Store, reduce
from tests.tui.fake_engine import WEB, an_env, readings


def loaded() -> AppState:
    return reduce(AppState(), StateLoaded(WEB, an_env()))


def test_a_machine_change_changes_that_machine_only() -> None:
    state = reduce(loaded(), MachineChanged(env=WEB, machine="web01", status="crashed")).desk(WEB).state
    assert state is not None
    assert state.machines["web01"].status is MachineStatus.CRASHED
    assert state.machines["db01"].status is MachineStatus.RUNNING


def test_an_unknown_word_for_a_status_is_unknown() -> None:
    state = reduce(loaded(), MachineChanged(env=WEB, machine="web01", status="confused")).desk(WEB).state
    assert state is not None
    assert state.machines["web01"].status is MachineStatus.UNKNOWN


def test_a_change_of_a_machine_never_heard_of_changes_nothing() -> None:
    before = loaded()
    assert reduce(before, MachineChanged(env=WEB, machine="nobody", status="running")) is before


def test_reduce_leaves_the_state_before_as_it_was() -> None:
    before = loaded()
    reduce(before, EnvChanged(env=WEB, exists=False))
    assert not before.desk(WEB).gone


def test_readings_are_kept_up_to_a_bound() -> None:
    state = loaded()
    for number in range(1, READINGS_KEPT + 20):
        state = reduce(state, StatsLoaded(WEB, readings(an_env(), number)))
    assert len(state.desk(WEB).readings["db01"]) == READINGS_KEPT


def test_readings_of_a_machine_that_went_down_are_forgotten() -> None:
    state = reduce(loaded(), StatsLoaded(WEB, readings(an_env(), 1)))
    state = reduce(state, MachineChanged(env=WEB, machine="db01", status="down"))
    assert "db01" not in state.desk(WEB).readings


def test_a_failed_look_keeps_what_was_known() -> None:
    desk = reduce(loaded(), LookFailed(WEB, "gone fishing")).desk(WEB)
    assert desk.state is not None
    assert desk.problem == "gone fishing"


def test_a_failed_search_for_environments_is_not_an_empty_list_without_a_word() -> None:
    state = reduce(AppState(), LookFailed("", "no permission"))
    assert (state.environments, state.environments_problem) == ((), "no permission")


def test_a_batch_says_what_it_changed() -> None:
    store = Store()
    assert store.apply([EnvironmentsLoaded(())]).environments
    assert store.apply([StateLoaded(WEB, an_env())]).envs == {WEB}
    started = store.apply([TaskStarted(task_id="t", parent_id=None, name="x", run_id="r")])
    assert (started.tasks, started.tasks_shape, started.envs) == (True, True, frozenset())
    log = store.apply([TaskLog(task_id="t", level=20, logger="x", message="m")])
    assert (log.tasks, log.tasks_shape) == (True, False)


def test_a_changed_snapshot_makes_the_environment_stale() -> None:
    assert Store().apply([SnapshotChanged(env=WEB, machine="db01", snapshots=("a",))]).stale == {WEB}


def test_an_environment_that_came_or_went_makes_the_listing_stale() -> None:
    assert Store().apply([EnvChanged(env=WEB, exists=True)]).listing_stale


def test_old_runs_leave_the_task_tree() -> None:
    store = Store()
    for number in range(RUNS_KEPT + 5):
        store.apply([TaskStarted(task_id=f"t{number}", parent_id=None, name="x", run_id="r")])
        store.apply([TaskFinished(task_id=f"t{number}", outcome=Outcome.OK, duration_s=1)])
    assert len(store.tasks.roots) == RUNS_KEPT
