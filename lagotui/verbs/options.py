"""The predecessor's command line: global options, then a verb, then what belongs to the verb. Options may be abbreviated."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..present.lago_formats import FORMATS
from . import LATER, VERBS

PROG = "lagotui --run"

_NOT_SETTINGS = frozenset({"verb", "rest", "version", "events", "ignore_warnings"})


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
        SystemExit: help was asked for (0), or an option is wrong (2); the text has been written.
    """
    given = vars(parser_for_run().parse_args(words))
    if given.get("ignore_warnings"):
        warnings.simplefilter("ignore")
    if "prefix_path" in given:
        warnings.warn("--prefix-path is deprecated: use --workdir-path and --prefix-name", DeprecationWarning, stacklevel=2)
    return RunOptions(
        verb=given["verb"],
        rest=given["rest"],
        settings={key: value for key, value in given.items() if key not in _NOT_SETTINGS},
        events_json="events" in given,
        version="version" in given,
    )


def parser_for_run() -> argparse.ArgumentParser:
    """Return the parser of everything up to the verb."""
    parser = argparse.ArgumentParser(
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
    add("-f", "--out-format", choices=FORMATS, help="format of the result (default)")
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
    add("verb", nargs="?", default=None, help=argparse.SUPPRESS)
    add("rest", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS)
    return parser


def parser_for_verb(verb: str) -> argparse.ArgumentParser:
    """Return the parser of what follows the verb, still without its arguments."""
    return argparse.ArgumentParser(
        prog=f"{PROG} {verb}",
        description=f"{VERBS[verb].summary[0].upper()}{VERBS[verb].summary[1:]}.",
        epilog=f"example:\n  {PROG} {VERBS[verb].example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _verbs_text() -> str:
    lines = [f"  {name:<12} {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(["verbs ('VERB -h' says more):", *lines, "", f"with a later version: {', '.join(LATER)}"])
