from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from engine.config import _KINDS, Settings, load_settings
from engine.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_give_no_password(tmp_path: Path, home: dict[str, str]) -> None:
    settings = load_settings(environ=home, root=tmp_path)

    assert (settings.ssh_password, settings.root_password, settings.libvirt_url, settings.accel) == (None, None, "auto", "auto")


def test_default_knows_that_it_is_one(tmp_path: Path, home: dict[str, str]) -> None:
    assert set(load_settings(environ=home, root=tmp_path).provenance.values()) == {"default"}


def test_every_setting_has_a_kind_and_a_provenance(tmp_path: Path, home: dict[str, str]) -> None:
    names = {item.name for item in fields(Settings)} - {"provenance", "ask"}

    assert names == set(_KINDS) == set(load_settings(environ=home, root=tmp_path).provenance)


def test_later_places_win(tmp_path: Path, home: dict[str, str]) -> None:
    texts = {
        "etc/lago/lago.conf": 6,
        "etc/lagotui/lagotui.conf": 5,
        "etc/xdg/lago/lago.conf": 4,
        "home/.config/lago/lago.conf": 3,
        "home/.config/lagotui/lagotui.conf": 2,
    }
    names = ["logdepth", "ssh_user", "accel", "ssh_tries", "ssh_timeout", "default_vm_type"]
    for number, place in enumerate(texts):
        put(tmp_path, place, "[lago]\n" + "".join(f"{name} = {9 - number}\n" for name in names[number:] if name != "accel"))
    environ = {**home, "LAGO_DEFAULT_VM_TYPE": "env"}

    settings = load_settings({"default_vm_provider": "cli"}, environ, root=tmp_path)

    assert [settings.logdepth, settings.ssh_user, settings.ssh_tries, settings.ssh_timeout] == [9, "8", 6, 5]
    assert (settings.default_vm_type, settings.default_vm_provider) == ("env", "cli")


@pytest.mark.parametrize(
    ("cli", "environ", "source"),
    [
        ({}, {}, "{root}/etc/lago/lago.conf [lago]"),
        ({}, {"LAGO_LOGLEVEL": "debug"}, "env LAGO_LOGLEVEL"),
        ({}, {"LAGO_LOGLEVEL": "debug", "LAGOTUI_LOGLEVEL": "info"}, "env LAGOTUI_LOGLEVEL"),
        ({}, {"LAGO__LAGO__LOGLEVEL": "debug"}, "env LAGO__LAGO__LOGLEVEL"),
        ({"loglevel": "debug"}, {"LAGO_LOGLEVEL": "info"}, "command line"),
        ({"loglevel": None}, {"LAGO_LOGLEVEL": "info"}, "env LAGO_LOGLEVEL"),
    ],
)
def test_every_value_knows_where_it_came_from(
    tmp_path: Path, home: dict[str, str], cli: dict[str, object], environ: dict[str, str], source: str
) -> None:
    put(tmp_path, "etc/lago/lago.conf", "[lago]\nloglevel = error\n")

    settings = load_settings(cli, {**home, **environ}, root=tmp_path)

    assert settings.provenance["loglevel"] == source.format(root=tmp_path)


def test_section_of_the_verb_beats_the_general_one(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "etc/lago/lago.conf", "[start]\nssh_tries = 7\n[lago]\nssh_tries = 8\n")

    tries = [load_settings(environ=home, verb=verb, root=tmp_path).ssh_tries for verb in ("start", "stop", "")]

    assert tries == [7, 8, 8]


def test_init_settings_are_read_from_their_section_for_every_verb(tmp_path: Path, home: dict[str, str]) -> None:
    environ = {**home, "LAGO__INIT__TEMPLATE_STORE": "/srv/store", "LAGOTUI__INIT__TEMPLATE_REPO_PATH": "http://a/b"}

    settings = load_settings(environ=environ, verb="status", root=tmp_path)

    assert (settings.template_store, settings.template_repo_path) == (Path("/srv/store"), "http://a/b")


def test_wait_suspend_is_read_from_lagos_variable(tmp_path: Path, home: dict[str, str]) -> None:
    assert load_settings(environ={**home, "LAGO__START__WAIT_SUSPEND": "0.5"}, root=tmp_path).wait_suspend == 0.5


@pytest.mark.parametrize(
    "name",
    ["LAGO_", "LAGO__NO_END", "LAGO_INITFILE_PATH", "LAGOTUI_SOMETHING", "LAGO__", "LAGO____", "LAGO__INIT__", "LAGOTUI", "XLAGO_LOGDEPTH"],
)
def test_unrelated_variables_are_ignored(tmp_path: Path, home: dict[str, str], name: str) -> None:
    assert load_settings(environ={**home, name: "x"}, root=tmp_path) == load_settings(environ=home, root=tmp_path)


def test_empty_variable_is_ignored(tmp_path: Path, home: dict[str, str]) -> None:
    assert load_settings(environ={**home, "LAGO_LOGDEPTH": ""}, root=tmp_path).logdepth == 3


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("loglevel", "loud", "info, debug, error, warning"),
        ("logdepth", "deep", "a whole number from -1"),
        ("logdepth", "-2", "a whole number from -1"),
        ("ssh_timeout", "0", "a whole number from 1"),
        ("accel", "hvf", "auto, kvm, tcg"),
        ("ignore_warnings", "maybe", "true or false"),
        ("lease_dir", "~nobody-of-this-name/x", "a directory"),
    ],
)
def test_bad_value_is_named_with_its_place_and_what_is_allowed(
    tmp_path: Path, home: dict[str, str], name: str, value: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ={**home, f"LAGO_{name.upper()}": value}, root=tmp_path)

    message = caught.value.message
    assert all(part in message for part in (f"'{name}'", f"'{value}'", f"env LAGO_{name.upper()}", allowed))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("loglevel = info\n", 1),
        ("[lago]\nloglevel = info\nnonsense\n", 3),
        ("[lago]\n[init]\n[lago]\n", 3),
        ("[lago]\nlogdepth=1\nlogdepth=2\n", 3),
    ],
)
def test_malformed_file_is_named_with_its_line(tmp_path: Path, home: dict[str, str], text: str, line: int) -> None:
    path = put(tmp_path, "etc/lago/lago.conf", text)

    with pytest.raises(ConfigError, match=f"^{path}:{line}: "):
        load_settings(environ=home, root=tmp_path)


def test_binary_file_is_an_error(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "etc/lago/lago.conf", "").write_bytes(b"[lago]\n\xff\xfe")

    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(environ=home, root=tmp_path)


def test_place_that_is_no_file_is_skipped(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "etc/lago/lago.conf").mkdir(parents=True)

    assert load_settings(environ=home, root=tmp_path).logdepth == 3


def test_percent_sign_in_a_password_is_kept(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "etc/lago/lago.conf", "[lago]\nssh_password = 100%(sure)s\n")

    assert load_settings(environ=home, root=tmp_path).ssh_password == "100%(sure)s"


def test_unknown_names_in_files_are_ignored(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "etc/lago/lago.conf", "[lago]\nfuture = 1\n[elsewhere]\nloglevel = debug\n")

    assert load_settings(environ=home, root=tmp_path).loglevel == "info"


@pytest.mark.parametrize(
    ("option", "setting"), [("default_root_password", "root_password"), ("libvirt-user", "libvirt_username"), ("ssh-user", "ssh_user")]
)
def test_options_that_lago_ignored_work(tmp_path: Path, home: dict[str, str], option: str, setting: str) -> None:
    assert getattr(load_settings({option: "x"}, home, root=tmp_path), setting) == "x"


def test_flag_that_is_not_given_leaves_the_file_alone(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "etc/lago/lago.conf", "[lago]\nignore_warnings = yes\n")

    assert load_settings({"ignore_warnings": False, "words": ["ls"]}, home, root=tmp_path).ignore_warnings


def test_inherited_prefix_path_acts_as_the_option(tmp_path: Path, home: dict[str, str]) -> None:
    assert load_settings(environ={**home, "LAGO_PREFIX_PATH": "/p"}, root=tmp_path).prefix_path == Path("/p")


@pytest.mark.parametrize("chosen", [{"workdir_path": "/w"}, {"prefix_name": "other"}])
def test_command_line_beats_an_inherited_prefix_path(tmp_path: Path, home: dict[str, str], chosen: dict[str, object]) -> None:
    assert load_settings(chosen, {**home, "LAGO_PREFIX_PATH": "/p"}, root=tmp_path).prefix_path is None


def test_shared_folders_are_used_where_they_are_writable(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "var/lib/lago/subnets").mkdir(parents=True)

    settings = load_settings(environ=home, root=tmp_path)

    assert (settings.lease_dir, settings.template_store) == (
        tmp_path / "var/lib/lago/subnets",
        tmp_path / "home/.local/share/lagotui/store",
    )


def test_relative_xdg_folder_is_ignored(tmp_path: Path, home: dict[str, str]) -> None:
    settings = load_settings(environ={**home, "XDG_DATA_HOME": "data"}, root=tmp_path)

    assert settings.lease_dir == tmp_path / "home/.local/share/lagotui/subnets"


def test_folders_are_absolute(tmp_path: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings({"lease_dir": "here"}, home, root=tmp_path).lease_dir == tmp_path / "here"


def test_without_a_file_no_parser_is_imported(tmp_path: Path, home: dict[str, str]) -> None:
    import subprocess

    code = "import sys; from pathlib import Path; from engine.config import load_settings; load_settings(root=Path(sys.argv[1])); "
    code += "sys.exit('configparser' in sys.modules)"
    environ = {**os.environ, **home, "XDG_CONFIG_DIRS": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])}, check=False
    )

    assert done.returncode == 0
