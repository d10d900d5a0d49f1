"""The predecessor's command line: global options, then a verb, then what belongs to the verb. Options may be abbreviated."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ..exit_codes import ExitCode
from ..present.lago_formats import FORMATS
from . import VERBS, Verb

PROG = "lagotui --run"

_UNKNOWN = "unrecognized arguments: "

_NOT_SETTINGS = frozenset({"version", "events", "ignore_warnings"})


@dataclass(frozen=True, slots=True)
class RunOptions:
    """A command line, taken apart as far as the verb."""

    verb: str | None
    rest: list[str]
    """What follows the verb."""
    settings: Mapping[str, str]
    """What the global options set: configuration key → value; only those that were given."""
    events_json: bool
    version: bool

    @property
    def is_debug(self) -> bool:
        return self.settings.get("loglevel") == "debug"


def parse_run(words: Sequence[str]) -> RunOptions:
    """Take a command line apart.

    Raises:
        WrongWords: an option is wrong.
        SystemExit: help was asked for, and has been written.
    """
    parser = parser_for_run()
    cut = _verb_index(parser, words)
    given = vars(parser.parse_args(words[:cut]))
    if given.get("ignore_warnings"):
        warnings.simplefilter("ignore")
    if "prefix_path" in given:
        warnings.warn("--prefix-path is deprecated: use --workdir-path and --prefix-name", DeprecationWarning, stacklevel=2)
    return RunOptions(
        verb=words[cut] if cut < len(words) else None,
        rest=list(words[cut + 1 :]),
        settings={key: value for key, value in given.items() if key not in _NOT_SETTINGS},
        events_json="events" in given,
        version="version" in given,
    )


def _verb_index(parser: _RunParser, words: Sequence[str]) -> int:
    """Return where the verb is: the first word that is no option, and no value of one; past the end when there is none.

    What follows it must not be shown to this parser, which would take the verb's abbreviated options for its own.
    """
    found = (index for index, word in enumerate(words) if not word.startswith("-") and parser.accepts(words[:index]))
    return next(found, len(words))


class _Unfit(Exception):
    """Some words are no complete set of options."""


class WrongWords(SystemExit):
    """A command line cannot be understood; whoever catches it tells why."""

    def __init__(self, prog: str, usage: str, message: str) -> None:
        super().__init__(int(ExitCode.USER_ERROR))
        self.prog = prog
        self.usage = usage
        self.message = message


class _Parser(argparse.ArgumentParser):
    """Leaves it to others to say what is wrong, since they know how it is said."""

    def error(self, message: str) -> NoReturn:
        raise WrongWords(self.prog, self.format_usage(), message)


class _RunParser(_Parser):
    """Can be asked about words without a word on stderr."""

    _asked = False

    def accepts(self, words: Sequence[str]) -> bool:
        """Whether `words` are options with all of their values."""
        self._asked = True
        try:
            self.parse_args([word for word in words if word not in ("-h", "--help")])
        except _Unfit:
            return False
        finally:
            self._asked = False
        return True

    def format_help(self) -> str:
        from ..plugins import PLUGIN_ENTRY_POINTS
        from ..plugins.registry import names

        plugged = [name for name in names(PLUGIN_ENTRY_POINTS["cli"]) if name not in VERBS]
        return super().format_help() + (f"\nof plugins: {', '.join(plugged)}\n" if plugged else "")

    def error(self, message: str) -> NoReturn:
        if self._asked:
            raise _Unfit
        super().error(message)


class _VerbParser(_Parser):
    """Knows where global options go."""

    def error(self, message: str) -> NoReturn:
        words = message.removeprefix(_UNKNOWN).split()
        option = words[0].partition("=")[0] if words and message.startswith(_UNKNOWN) else ""
        known = (flag for action in parser_for_run()._actions for flag in action.option_strings)
        if option and option in known:
            message += f"; {option} is a global option: it goes before the verb"
        super().error(message)


def parser_for_run() -> _RunParser:
    """Return the parser of everything up to the verb."""
    parser = _RunParser(
        prog=PROG,
        usage=f"{PROG} [OPTION…] VERB […]",
        description="Do one thing and leave. The result goes to stdout, the story to stderr.",
        epilog=_verbs_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("-l", "--loglevel", choices=("info", "debug", "error", "warning"), help="least level of what is told (info)")
    add("--logdepth", metavar="N", help="levels of the task tree that are told; -1 is all (3)")
    add("-f", "--out-format", type=_out_format, metavar=f"{{{','.join(FORMATS)}}}", help="format of the result (default)")
    add("-w", "--workdir-path", metavar="DIR", help="the workdir; without it .lago here or in a folder above")
    add("-P", "--prefix-name", metavar="NAME", help="the environment in the workdir (current)")
    add("-p", "--prefix-path", metavar="DIR", help="deprecated: the environment's own folder")
    add("--ssh-user", metavar="NAME", help="user in the machines (root)")
    add("--ssh-password", metavar="TEXT", help="password in the machines (none: keys only)")
    add("--ssh-tries", metavar="N", help="times that ssh is tried (100)")
    add("--ssh-timeout", metavar="S", help="seconds that one try may take (10)")
    add("--libvirt_url", "--libvirt-url", metavar="URL", help="auto, private, system, or a URI (auto)")
    add("--libvirt-user", dest="libvirt_username", metavar="NAME", help="user at the libvirt host")
    add("--libvirt-password", metavar="TEXT", help="password at the libvirt host")
    add("--default_vm_type", metavar="TYPE", help="type of machines that name none (default)")
    add("--default_vm_provider", metavar="NAME", help="provider of machines that name none (local-libvirt)")
    add("--default_root_password", dest="root_password", metavar="TEXT", help="root password of machines that set none (none)")
    add("--lease_dir", metavar="DIR", help="where subnet leases are kept")
    add("--reposync-dir", dest="reposync_dir", metavar="DIR", help="unused, for old scripts")
    add("--accel", choices=("auto", "kvm", "tcg"), help="acceleration of machines (auto)")
    add("--events", choices=("json",), help="tell the story as one JSON object an event")
    add("--ignore-warnings", action="store_true", help="hide Python's warnings")
    add("--version", action="store_true", help="say which version this is")
    return parser


def _out_format(name: str) -> str:
    if name in FORMATS:
        return name
    from ..plugins import PLUGIN_ENTRY_POINTS
    from ..plugins.registry import names

    plugged = names(PLUGIN_ENTRY_POINTS["out"])
    if name not in plugged:
        raise argparse.ArgumentTypeError(f"there is no format '{name}'; there are {', '.join((*FORMATS, *plugged))}")
    return name


def parser_for_verb(name: str, verb: Verb | None = None) -> argparse.ArgumentParser:
    """Return the parser of what follows the verb, by default one of ours, still without its arguments."""
    verb = verb or VERBS[name]
    return _VerbParser(
        prog=f"{PROG} {name}",
        description=f"{verb.summary[0].upper()}{verb.summary[1:].removesuffix('.')}.",
        epilog=f"example:\n  {PROG} {verb.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _verbs_text() -> str:
    lines = [f"  {name:<15} {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(["verbs ('VERB -h' says more):", *lines])
