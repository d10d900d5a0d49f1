"""Machines, networks, environments and tasks as rows and lines."""

from __future__ import annotations

import pytest

from engine.events import Outcome, TaskFinished, TaskLog, TaskStarted
from engine.spec import MachineStatus
from engine.tasktree import TaskTree
from lagotui.present import environments, machines, nets, tasks
from lagotui.present.cells import text_of
from lagotui.present.header import env_header, pending_line
from lagotui.store import AppState, EnvDesk, EnvEntry
from tests.tui.fake_engine import NOW_S, WEB, a_busy_run, an_env, readings


@pytest.mark.parametrize(
    ("status", "sign"),
    [
        (MachineStatus.RUNNING, "●"),
        (MachineStatus.PAUSED, "◐"),
        (MachineStatus.STOPPING, "◐"),
        (MachineStatus.DOWN, "○"),
        (MachineStatus.SHUT_OFF, "○"),
        (MachineStatus.CRASHED, "✖"),
    ],
)
def test_the_sign_of_a_state_tells_it_without_colour(status: MachineStatus, sign: str) -> None:
    assert machines.symbol(status).text == sign


def test_cpu_load_counts_all_vcpus() -> None:
    first, second = (readings(an_env(), number)["web02"] for number in (1, 2))
    assert machines.rates(first, second).cpu_percent == pytest.approx(98)


def test_a_restarted_machine_counts_as_idle() -> None:
    first, second = (readings(an_env(), number)["web02"] for number in (2, 1))
    assert machines.rates(first, second).cpu_percent == 0


def test_readings_of_a_machine_that_is_down_are_not_shown() -> None:
    kept = {"cache01": (readings(an_env(down=()), 1)["cache01"], readings(an_env(down=()), 2)["cache01"])}
    assert text_of(machines.rows(an_env(), kept)[3].cells[3]) == "—"


def test_a_mac_goes_to_a_line_of_its_own_where_there_is_no_room() -> None:
    machine = an_env().machines["web01"]
    narrow, wide = ([text_of(line) for line in machines.detail_lines(machine, (), width)] for width in (40, 70))
    assert "       54:52:c0:a8:c8:03" in narrow
    assert any("192.168.200.3" in line and "54:52" in line for line in wide)


def test_a_net_row_counts_its_machines() -> None:
    assert [text_of(row.cells[-1]) for row in nets.rows(an_env())] == ["4 machines", "1 machine"]


def test_an_environment_that_cannot_be_read_shows_so() -> None:
    state = AppState((EnvEntry(WEB),), desks={WEB: EnvDesk(problem="no")})
    assert text_of(environments.rows(state, NOW_S, "/home/ada")[0].cells[2]) == "unreadable"


def test_an_environment_that_is_gone_is_not_listed() -> None:
    assert not environments.rows(AppState((EnvEntry(WEB),), desks={WEB: EnvDesk(gone=True)}), NOW_S, "/")


@pytest.mark.parametrize(
    ("path", "home", "text"), [("/h/a/x", "/h/a", "~/x"), ("/h/ab", "/h/a", "/h/ab"), ("/x", "", "/x"), ("/x", "/", "/x")]
)
def test_short_path(path: str, home: str, text: str) -> None:
    assert environments.short_path(path, home) == text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_header_is_exactly_as_wide_as_the_screen(width: int) -> None:
    assert len(text_of(env_header(WEB, EnvDesk(an_env()), 1, NOW_S, width))) == width


def test_several_unfinished_runs_are_counted() -> None:
    assert "one (and 1 more)" in text_of(pending_line(("one", "two"), 60))


def busy_tree() -> TaskTree:
    tree = TaskTree()
    for event in a_busy_run():
        tree.apply(event)
    return tree


def shown(tree: TaskTree, folds: dict[str, bool] | None = None) -> list[str]:
    rows = tasks.visible_rows(tree, tasks.roots_of(tree, WEB), folds or {})
    return [text_of(tasks.row_line(row, tree, 100, NOW_S)).rstrip() for row in rows]


def test_a_run_that_went_well_folds_when_another_follows() -> None:
    assert shown(busy_tree())[0].startswith("▸ ✔ Create snapshot fresh")


def test_a_failed_run_stays_open_and_tells_its_error_once() -> None:
    assert sum("there is no room left" in line for line in shown(busy_tree())) == 1


def test_unfolding_a_task_shows_its_log_lines() -> None:
    assert any("192.168.200.4 has its lease" in line for line in shown(busy_tree(), {"c1.7": False}))


def test_a_running_task_shows_progress_and_what_is_known() -> None:
    lines = shown(busy_tree())
    assert any("18.5 MiB of 28.5 MiB" in line for line in lines)
    assert any("Reached target Network" in line for line in lines)


def test_every_line_has_the_width_asked_for() -> None:
    tree = busy_tree()
    rows = tasks.visible_rows(tree, tasks.roots_of(tree, None), {"c1.7": False})
    assert {len(text_of(tasks.row_line(row, tree, 80, NOW_S))) for row in rows} == {80}


def test_only_the_last_log_lines_of_a_long_log_are_shown() -> None:
    tree = TaskTree()
    tree.apply(TaskStarted(task_id="t", parent_id=None, name="talk", run_id="r"))
    for number in range(500):
        tree.apply(TaskLog(task_id="t", level=20, logger="x", message=f"line {number}"))
    rows = tasks.visible_rows(tree, ["t"], {"t": False})
    assert len(rows) == 1 + 1 + tasks.LOG_ROWS
    assert rows[1].text == "… 300 earlier lines"


def test_the_summary_tells_how_the_last_run_ended() -> None:
    tree = busy_tree()
    assert tasks.summary(tree, tree.roots) == "1 running"
    tree.apply(TaskFinished(task_id="c1", outcome=Outcome.FAILED, duration_s=1, error="x"))
    assert tasks.summary(tree, tree.roots) == "failed"
