"""The environment screen, by its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.widgets import Button

from engine.errors import HostUnreachable, SnapshotError
from engine.events import EnvChanged
from engine.spec import MachineStatus
from lagotui.bridge import Happened
from lagotui.widgets.table import Table
from tests.tui.desk import Desk
from tests.tui.fake_engine import WEB, FakeEngine, an_env

Open = Callable[..., Desk]


@pytest.fixture
def desk(open_desk: Open) -> Desk:
    return open_desk(FakeEngine([an_env()]), WEB)


async def test_shows_state_and_address_of_every_machine(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        assert desk.rows("#machines")[0].startswith("● db01 running 192.168.200.2")
        assert desk.rows("#machines")[3].startswith("○ cache01 down 192.168.200.5")


async def test_shows_every_network(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#nets")
        assert desk.rows("#nets")[0].startswith("● lago nat 192.168.200.0/24 gw .1 dhcp .100–.254 management")


async def test_details_are_of_the_machine_under_the_cursor(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("j")
        await desk.until(lambda: "54:52:c0:a8:c8:03" in desk.lines("#details"))


async def test_a_pushed_change_of_a_machine_shows(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        desk.engine.befall(WEB, "web01", MachineStatus.CRASHED)
        await desk.until(lambda: desk.rows("#machines")[1].startswith("✖ web01 crashed"))


async def test_a_pushed_change_of_a_network_shows(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#nets")
        desk.engine.befall(WEB, "lago", False)
        await desk.until(lambda: desk.rows("#nets")[0].startswith("○ lago"))


async def test_load_shows_once_there_are_two_readings(desk: Desk) -> None:
    desk.engine.readings_left = 2
    async with desk.open():
        await desk.until_rows("#machines")
        for count in (1, 2):
            desk.app.bridge.look_stats(WEB)
            await desk.until(lambda count=count: desk.engine.stats_calls >= count)  # type: ignore[misc]
        await desk.until(lambda: "9%" in desk.rows("#machines")[0] and "819/2048M" in desk.rows("#machines")[0])


async def test_s_starts_the_machine_under_the_cursor(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("end", "s")
        run = await desk.until_run()
        assert (run.verb, run.machines) == ("start", ("cache01",))
        await desk.until(lambda: desk.rows("#machines")[3].startswith("● cache01 running"))


async def test_s_on_a_running_machine_says_so(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("s")
        await desk.until_toast("up already")
        assert not desk.engine.handles


async def test_x_stops_the_marked_machines(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("space", "space", "x")
        run = await desk.until_run()
        assert (run.verb, run.machines) == ("stop", ("db01", "web01"))


async def test_marks_go_when_their_work_begins(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("space", "x")
        await desk.until_run()
        assert desk.app.screen.query_one("#machines", Table).marks == ()


@pytest.mark.parametrize(("key", "verb"), [("S", "start"), ("X", "stop"), ("R", "recover")])
async def test_capitals_are_for_the_whole_environment(desk: Desk, key: str, verb: str) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press(key)
        run = await desk.until_run()
        assert (run.verb, run.machines) == (verb, ())


async def test_work_shows_its_headless_form(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("x")
        await desk.until_toast("$ lagotui --run -w /home/ada/web-cluster/.lago -P default stop db01")


async def test_enter_opens_a_shell_on_a_running_machine(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("enter")
        await desk.until(lambda: desk.shells == [["ssh", "-t", "root@db01"]])


async def test_enter_on_a_machine_that_is_down_says_how_to_start_it(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("end", "enter")
        await desk.until_toast("cache01 is down s starts it")
        assert not desk.shells


async def test_a_double_click_opens_a_shell(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        assert desk.pilot is not None
        await desk.pilot.click("#machines", offset=(6, 3), times=2)
        await desk.until(lambda: desk.shells == [["ssh", "-t", "root@web01"]])


async def test_p_takes_a_snapshot_of_everything_under_the_name_typed(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("p")
        await desk.until_screen("InputDialog")
        await desk.press("b", "1", "enter")
        run = await desk.until_run()
        assert (run.verb, run.name, run.machines) == ("snapshot", "b1", ())
        await desk.until_toast("web-cluster snapshot taken b1")


async def test_a_snapshot_name_that_is_taken_is_refused_at_once(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("p")
        await desk.until_screen("InputDialog")
        await desk.press(*"fresh", "enter")
        await desk.until(lambda: "'fresh' is there already" in str(desk.app.screen.query_one("#problem").render()))
        assert not desk.engine.handles


async def test_v_reverts_the_machines_that_have_the_chosen_snapshot(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("v")
        await desk.until_screen("ChooseDialog")
        assert desk.rows("#choices") == ["schema-v1 1 machine of 4", "fresh 3 machines of 4"]
        await desk.press("down", "enter")
        run = await desk.until_run()
        assert (run.verb, run.name, run.machines) == ("revert", "fresh", ("db01", "web01", "web02"))


async def test_v_without_snapshots_says_how_to_take_one(open_desk: Open) -> None:
    state = an_env()
    bare = {name: replace(machine, spec=replace(machine.spec, snapshots={})) for name, machine in state.machines.items()}
    async with open_desk(FakeEngine([replace(state, machines=bare)]), WEB).open() as desk:
        await desk.until_rows("#machines")
        await desk.press("v")
        await desk.until_toast("There is no snapshot to go back to p takes one.")


async def test_destroy_says_what_is_lost_and_enter_means_no(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("ctrl+d")
        await desk.until_screen("ConfirmDialog")
        await desk.until(lambda: "4 machines with their disks" in desk.lines("#text"))
        await desk.press("enter")
        await desk.until_screen("EnvironmentScreen")
        assert not desk.engine.handles


async def test_destroy_cannot_be_confirmed_before_the_losses_are_known(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        desk.engine.losses_known.clear()
        await desk.press("ctrl+d")
        await desk.until_screen("ConfirmDialog")
        assert desk.app.screen.query_one("#yes", Button).disabled
        await desk.press("y")
        assert not desk.engine.handles
        desk.engine.losses_known.set()


async def test_destroy_confirmed_leads_home(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("ctrl+d")
        await desk.until_screen("ConfirmDialog")
        await desk.until(lambda: not desk.app.screen.query_one("#yes", Button).disabled)
        await desk.press("y")
        assert (await desk.until_run()).verb == "destroy"
        await desk.until_screen("HomeScreen")
        await desk.until(lambda: not desk.rows("#environments"))


async def test_an_environment_destroyed_elsewhere_leads_home(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        desk.engine.states.clear()
        desk.engine.publish(EnvChanged(env=WEB, exists=False))
        await desk.until_screen("HomeScreen")


async def test_news_that_come_while_the_screens_are_taken_down_are_let_go(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
    desk.app._take_in(Happened([EnvChanged(env=WEB, exists=False)]))
    assert not desk.app.screen_stack


async def test_a_screen_that_is_left_twice_closes_none_below_it(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        screen = desk.app.screen
        for _ in range(2):
            screen.dismiss()
        await desk.until_screen("HomeScreen")


async def test_a_change_during_a_look_outlasts_what_the_look_brings(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        desk.engine.looks_go_on.clear()
        before = desk.engine.state_looks
        desk.app.bridge.look_state(WEB)
        await desk.until(lambda: desk.engine.state_looks > before, "a look that has seen the machine run")
        desk.engine.befall(WEB, "web01", MachineStatus.CRASHED)
        await desk.until(lambda: desk.rows("#machines")[1].startswith("✖ web01 crashed"))
        desk.engine.looks_go_on.set()
        await desk.until(lambda: desk.engine.state_looks > before + 1, "one more look")
        await desk.until(lambda: desk.rows("#machines")[1].startswith("✖ web01 crashed"))


async def test_a_failed_run_says_what_and_the_next_step(open_desk: Open) -> None:
    async with open_desk(FakeEngine([an_env()], hold=True), WEB).open() as desk:
        await desk.until_rows("#machines")
        await desk.press("x")
        run = await desk.until_run()
        run.end(SnapshotError("it is no good", hint="try lagotui --run recover"))
        await desk.until_toast("it is no good try lagotui --run recover")


async def test_ctrl_x_cancels_the_newest_run(open_desk: Open) -> None:
    async with open_desk(FakeEngine([an_env()], hold=True), WEB).open() as desk:
        await desk.until_rows("#machines")
        await desk.press("x")
        run = await desk.until_run()
        await desk.until(lambda: desk.app.bridge.running)
        await desk.press("ctrl+x")
        await desk.until(lambda: run.cancelled)


async def test_filter_keeps_rows_with_the_words(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("slash", *"web", "enter")
        assert [row.split()[1] for row in desk.rows("#machines")] == ["web01", "web02"]


async def test_filter_with_a_bang_keeps_the_others(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("slash", *"!web", "enter")
        assert [row.split()[1] for row in desk.rows("#machines")] == ["db01", "cache01"]


async def test_escape_drops_the_filter_before_it_leaves(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("slash", *"web", "enter", "escape")
        await desk.until(lambda: len(desk.rows("#machines")) == 4)
        await desk.press("escape")
        await desk.until_screen("HomeScreen")


async def test_y_copies_the_address(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#machines")
        await desk.press("y")
        await desk.until_screen("ChooseDialog")
        await desk.press("enter")
        await desk.until(lambda: desk.app.clipboard == "192.168.200.2")


async def test_a_host_that_does_not_answer_is_told_with_the_next_step(open_desk: Open) -> None:
    engine = FakeEngine([an_env()])
    engine.problem = HostUnreachable("'qemu:///system' does not answer", hint="systemctl start libvirtd")
    async with open_desk(engine, WEB).open() as desk:
        table = desk.app.screen.query_one("#machines", Table)
        await desk.until(lambda: any("does not answer" in span.text for line in table.empty for span in line))
        engine.problem = None
        await desk.press("r")
        await desk.until_rows("#machines")


async def test_an_unfinished_run_is_told(open_desk: Open) -> None:
    state = replace(an_env(), pending=("'start' of 12:03 ended in the middle",))
    async with open_desk(FakeEngine([state]), WEB).open() as desk:
        await desk.until(lambda: desk.app.screen.query_one("#notice").display)


async def test_on_a_narrow_screen_i_shows_the_details_instead(desk: Desk) -> None:
    async with desk.open((80, 24)):
        await desk.until_rows("#machines")
        assert not desk.app.screen.query_one("#details").display
        await desk.press("i")
        await desk.until(lambda: desk.app.screen.query_one("#details").display)
        await desk.press("escape")
        await desk.until(lambda: not desk.app.screen.query_one("#details").display)


async def test_stats_are_not_asked_for_while_nothing_runs(open_desk: Open) -> None:
    engine = FakeEngine([an_env(down=("db01", "web01", "web02", "cache01"))])
    async with open_desk(engine, WEB).open() as desk:
        await desk.until_rows("#machines")
        desk.app.screen._tick()  # type: ignore[attr-defined]
        await desk.until(lambda: engine.watched)
        assert engine.stats_calls == 0
