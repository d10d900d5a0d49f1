"""Plugins, of the example distribution that is installed for these tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import load_settings
from engine.errors import EngineError, ServiceFailed
from engine.state.workdir import Workdir
from lagotui import plugins, sdk
from lagotui.plugins.cli import CLIPluginFuncWrapper
from tests.headless.terminal_user import INIT_FILE, Lago

EXAMPLE = Path(__file__).parents[1] / "example_plugin"


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example distribution, installed in a folder of its own."""
    source, target = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLE, source)
    options = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--no-warn-conflicts"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)], check=True, timeout=300)
    return target


@pytest.fixture
def example(example_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(example_folder))


@pytest.mark.usefixtures("example")
def test_a_verb_that_is_a_class(lago: Lago) -> None:
    outcome = lago("-P", "mine", "greet", "ada", "--code", "7")
    assert (outcome.code, outcome.out) == (7, "hello ada, of mine\n")
    assert "@ Greeting ada: Success" in outcome.err


@pytest.mark.usefixtures("example")
def test_a_verb_that_is_a_function_gets_the_environment(made: Lago) -> None:
    assert made("count-machines", "--times", "2").out == "2\n2\n"


@pytest.mark.usefixtures("example")
def test_verbs_of_plugins_have_help(lago: Lago) -> None:
    assert "Say hello to somebody." in lago("greet", "-h").out
    assert "of plugins: broken, count-machines, greet" in lago("--help").out


@pytest.mark.usefixtures("example")
def test_a_bad_plugin_is_a_warning(lago: Lago, caplog: pytest.LogCaptureFixture) -> None:
    outcome = lago("broken")
    assert (outcome.code, "there is no verb 'broken'" in outcome.err) == (2, True)
    assert "the plugin 'broken' of 'lagotui.plugins.cli' cannot be loaded: ModuleNotFoundError" in caplog.text


BAD_PLUGINS = """
import sys
from lagotui.plugins import CLIPlugin, OutFormatPlugin
class Odd(CLIPlugin):
    init_args = {"help": "odd", "prefix_chars": "+", "epilog": "that was odd"}
    def populate_parser(self, parser): parser.add_argument("+x")
    def do_run(self, args): sys.exit("x is " + args.x)
class Unsaid(Odd):
    init_args = None
    def populate_parser(self, parser): parser.addArgument("--x")
class Nothing(OutFormatPlugin):
    def format(self, info_dict): return None
"""
BAD_POINTS = """
[lagotui.plugins.cli]
odd = bad_plugins:Odd
unsaid = bad_plugins:Unsaid
leaves = leaving_plugin:Any
status = bad_plugins:Odd
[lagotui.plugins.output]
nothing = bad_plugins:Nothing
"""


@pytest.fixture
def bad_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "installed"
    info = folder / "bad-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text(BAD_POINTS)
    (folder / "bad_plugins.py").write_text(BAD_PLUGINS)
    (folder / "leaving_plugin.py").write_text("import sys; sys.exit('no import')")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("bad_plugins")
def test_what_a_plugin_says_of_its_parser_counts(lago: Lago) -> None:
    assert "that was odd" in lago("odd", "-h").out
    outcome = lago("odd", "+x", "3")
    assert (outcome.code, outcome.err) == (1, "error: x is 3\n")


@pytest.mark.usefixtures("bad_plugins")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("unsaid",), "the plugin 'unsaid' cannot say what it takes: AttributeError"),
        (("leaves",), "there is no verb 'leaves'"),
        (("-f", "nothing", "list"), "the output format 'nothing' gave NoneType instead of text"),
    ],
)
def test_a_plugin_that_misbehaves_is_an_error_in_a_sentence(words: tuple[str, ...], said: str, made: Lago) -> None:
    outcome = made(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.usefixtures("bad_plugins")
def test_a_plugin_takes_no_verb_of_ours(made: Lago) -> None:
    assert "of plugins: leaves, odd, unsaid\n" in made("--help").out
    assert "[Prefix]:" in made("status").out


@pytest.mark.usefixtures("example")
def test_all_plugins_of_a_group_but_the_bad_ones(caplog: pytest.LogCaptureFixture) -> None:
    assert sorted(plugins.load_plugins(plugins.PLUGIN_ENTRY_POINTS["cli"])) == ["count-machines", "greet"]


@pytest.mark.usefixtures("example")
def test_an_output_format(made: Lago) -> None:
    assert json.loads(made("-f", "shout", "status").out.lower())["prefix"]["vms"]["vm0"]["status"] == "down"


@pytest.mark.usefixtures("example")
def test_an_unknown_format_names_those_of_plugins(lago: Lago) -> None:
    outcome = lago("-f", "xml", "list")
    assert (outcome.code, "there are default, json, yaml, flat, shout" in outcome.err) == (2, True)


@pytest.mark.usefixtures("example")
def test_a_type_of_machine_is_a_class_of_scripts(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE.replace("    memory: 64\n", "    memory: 64\n    vm-type: database\n"))
    assert lago("init").code == 0
    with sdk.SDK(lago.open_engine(load_settings()), Workdir.find(Path()).prefix()) as env:
        assert env.get_vms()["vm0"].dump_command("shop") == ["pg_dump", "shop"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("example")
def test_services_of_a_plugin(lago: Lago) -> None:
    from lagotui_example.services import Runit

    class Told(sdk.VM):
        """Answers what it is told."""

        def __init__(self, answers: dict[str, str]) -> None:
            self.answers = answers

        def name(self) -> str:
            return "vm0"

        def ssh(self, command: object, data: object = None, **_old: object) -> sdk.CommandStatus:
            words = " ".join(str(word) for word in command)  # type: ignore[attr-defined]
            out = self.answers.get(words)
            return sdk.CommandStatus(0 if out is not None else 1, sdk.machine.Text(out or ""), sdk.machine.Text())

    service = Runit(Told({"sv status web": "down: web", "sv start web": ""}), "web")
    assert (service.exists(), service.alive()) == (True, False)
    service.start()
    with pytest.raises(ServiceFailed, match="has no service 'db'"):
        Runit(Told({}), "db").start()
    assert Runit.is_supported(Told({"test -e /usr/bin/sv": ""}))


def test_decorators_build_one_verb() -> None:
    @plugins.cli_plugin_add_help("told")
    @plugins.cli_plugin_add_argument("-m", "--mogambo", action="store_true")
    @plugins.cli_plugin
    def function(mogambo: bool, **_others: object) -> int:
        """Docstring."""
        return 3 if mogambo else 4

    assert isinstance(function, CLIPluginFuncWrapper)
    assert function.init_args["help"] == "told"
    assert function(mogambo=True) == 3


def test_the_docstring_is_the_help_of_a_verb_without_one() -> None:
    @plugins.cli_plugin()
    def function(**_others: object) -> None:
        """Do nothing."""

    assert function.init_args["help"] == "Do nothing."


def test_plugin_errors_are_errors_of_users() -> None:
    assert issubclass(plugins.NoSuchPluginError, EngineError)


PAPER = """
domains:
  vm0: {memory: 64, vm-provider: paper, nics: [{net: lan}]}
  vm1: {memory: 64, nics: [{net: lan}]}
nets:
  lan: {type: nat, management: true, gw: 192.168.210.1}
"""


def states(lago: Lago) -> dict[str, str]:
    return {name: vm["status"] for name, vm in json.loads(lago("-f", "json", "status").out)["Prefix"]["VMs"].items()}


@pytest.mark.usefixtures("example")
def test_machines_of_a_plugins_provider_run_beside_others(lago: Lago) -> None:
    Path("LagoInitFile").write_text(PAPER)
    assert lago("init").code == 0
    assert Path(".lago/default/paper-vm0").read_text() == "down"
    assert "written down" in lago("-l", "debug", "start").err or states(lago) == {"vm0": "running", "vm1": "running"}
    assert states(lago) == {"vm0": "running", "vm1": "running"}
    assert [name for _, name in lago.host.machines] == ["vm1"]
    assert lago("stop").code == 0
    assert states(lago) == {"vm0": "down", "vm1": "down"}


def test_an_environment_goes_without_the_plugin_that_ran_a_machine(lago: Lago, example_folder: Path) -> None:
    Path("LagoInitFile").write_text(PAPER)
    with pytest.MonkeyPatch.context() as installed:
        installed.syspath_prepend(str(example_folder))
        assert lago("init").code == 0
    assert states(lago) == {"vm0": "failed to get state", "vm1": "down"}
    assert lago("destroy", "-y").code == 0
    assert not Path(".lago").exists()


@pytest.mark.usefixtures("example")
def test_a_plugins_machine_goes_back_to_a_snapshot(lago: Lago) -> None:
    Path("LagoInitFile").write_text(PAPER)
    lago("init")
    lago("start", "vm0")
    assert lago("snapshot", "clean", "vm0").code == 0
    lago("stop", "vm0")
    assert lago("revert", "clean", "vm0").code == 0
    assert states(lago)["vm0"] == "running"


@pytest.mark.usefixtures("example")
def test_a_plugins_machine_has_no_memory_to_keep(lago: Lago) -> None:
    Path("LagoInitFile").write_text(PAPER)
    lago("init")
    lago("start")
    outcome = lago("snapshot", "--memory", "clean")
    assert (outcome.code, "its provider 'paper' keeps no memory" in outcome.err) == (2, True)
    assert states(lago) == {"vm0": "running", "vm1": "running"}


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("line", ["vm-provider: papre", "vm-type: databse", "service_provider: runti"])
def test_names_that_no_plugin_has_are_placed_with_the_nearest(lago: Lago, line: str) -> None:
    Path("LagoInitFile").write_text(INIT_FILE.replace("    memory: 64\n", f"    memory: 64\n    {line}\n"))
    outcome = lago("check")
    assert outcome.code == 2
    assert f"LagoInitFile:5:{6 + len(line.split(':')[0]) + 1}: error E221" in outcome.out
    assert "did you mean" in outcome.out
