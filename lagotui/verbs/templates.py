"""template list, info, pull, import, publish, prune, build."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exit_codes import ExitCode
from ..present.cells import clean
from . import Command
from .options import PROG
from .session import Session

if TYPE_CHECKING:
    from engine.images.importing import Imported
    from engine.images.prune import Pruned
    from engine.images.publish import Published
    from engine.images.service import TemplateDetails, TemplateEntry

Action = Callable[[Session, Namespace], None]

UNKNOWN = "unknown"


def _arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    _add(actions, "list", "list the templates of the catalogue, and what else is in the store", "template list")
    info = _add(actions, "info", "say all that can be found out about a template", "template info debian-13")
    info.add_argument("name", metavar="NAME[:VERSION]", help="the template")
    pull = _add(actions, "pull", "bring a template into the store", "template pull debian-13")
    pull.add_argument("name", metavar="NAME[:VERSION]", help="the template; without VERSION the newest")
    _import_arguments(_add(actions, "import", "make a template of an image", "template import ./cloud.qcow2 --name mine --cloud-init"))
    example = "template publish mine /srv/images --from disk.qcow2"
    _publish_arguments(_add(actions, "publish", "add an image to a repository of one's own", example))
    _prune_arguments(_add(actions, "prune", "remove images that no environment stands on", "template prune --dry-run"))
    build = _add(actions, "build", "build a built-in template", "template build tiny")
    build.add_argument("name", metavar="NAME", help="the template, e.g. tiny")


def _add(actions: _SubParsersAction[ArgumentParser], name: str, summary: str, example: str) -> ArgumentParser:
    return actions.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {PROG} {example}",
        formatter_class=RawDescriptionHelpFormatter,
        parents=[_places()],
    )


def _places() -> ArgumentParser:
    """Return the options that every action has; those not given leave the settings as they are."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--template-repo-path", metavar="REPO", help="repository of templates: a path, a URL, or a name")
    parser.add_argument("--template-repo-name", metavar="NAME", help="repository of that name among those of --template-repos")
    parser.add_argument("--template-repos", metavar="DIR", help="where repositories are looked for by name")
    parser.add_argument("--template-store", metavar="DIR", help="where images of templates are kept")
    return parser


def _described_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--distro", metavar="NAME", help="distribution in the image, e.g. el9, debian (found out where possible)")
    parser.add_argument(
        "--cloud-init", action=BooleanOptionalAction, default=None, help="whether the image speaks cloud-init (found out where possible)"
    )


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE|URL", help="a qcow2 or raw image, also as .xz")
    parser.add_argument("--name", required=True, metavar="NAME", help="of the template")
    parser.add_argument("--version", default="1", metavar="VERSION", help="of the template (1)")
    parser.add_argument("--checksum", metavar="HEX|URL", help="sha1, sha256 or sha512 of FILE or URL, or the address of a list of them")
    _described_arguments(parser)


def _publish_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the template in the repository")
    parser.add_argument("folder", metavar="DIR", help="of the repository; made when it is not there")
    parser.add_argument("--from", dest="source", metavar="FILE|TEMPLATE[:VERSION]", help="the image (the template NAME)")
    parser.add_argument("--version", metavar="VERSION", help="of the template (the next whole number)")
    parser.add_argument("--repo-name", metavar="NAME", help="of a repository that is made (as DIR)")
    parser.add_argument("--baseurl", metavar="URL", help="where DIR will be on the web (beside the repository, wherever that is)")
    _described_arguments(parser)


def _prune_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--all", action="store_true", help="also the newest version of each template, and imported images")
    parser.add_argument("--shared", action="store_true", help="also in a store that other people use; their environments are not known")


def _template(session: Session, arguments: Namespace) -> int:
    if arguments.template_repo_path:
        session.settings = replace(session.settings, template_repo_path=arguments.template_repo_path)
    elif arguments.template_repo_name:
        session.settings = replace(session.settings, template_repo_path=f"name:{arguments.template_repo_name}")
    if arguments.template_repos:
        session.settings = replace(session.settings, template_repos=Path(arguments.template_repos).expanduser().absolute())
    if arguments.template_store:
        session.settings = replace(session.settings, template_store=Path(arguments.template_store).expanduser().absolute())
    ACTIONS[arguments.action](session, arguments)
    return ExitCode.OK


def _list(session: Session, _arguments: Namespace) -> None:
    session.show(template_data(session.engine.images.listing()))


def _info(session: Session, arguments: Namespace) -> None:
    name, version = _split(arguments.name)
    session.show(info_data(session.follow(lambda engine: engine.images.details(name, version))))


def _pull(session: Session, arguments: Namespace) -> None:
    name, version = _split(arguments.name)
    session.show(str(session.follow(lambda engine: engine.images.pull(name, version))))


def _import(session: Session, arguments: Namespace) -> None:
    from engine.images.importing import ImportRequest

    request = ImportRequest(
        source=arguments.source,
        name=arguments.name,
        version=arguments.version,
        distro=arguments.distro,
        cloud_init=arguments.cloud_init,
        checksum=arguments.checksum,
    )
    imported = session.follow(lambda engine: engine.images.import_image(request))
    if not imported.is_checked:
        session.voice.note("nothing vouches for this image: no checksum lies beside it, and none was given (--checksum)")
    if imported.cloud_init is None:
        session.voice.note("no trace of cloud-init was found; import it again with --cloud-init or --no-cloud-init when you know")
    session.show(imported_data(imported))


def _publish(session: Session, arguments: Namespace) -> None:
    from engine.images.service import PublishOptions

    options = PublishOptions(
        source=arguments.source,
        version=arguments.version,
        distro=arguments.distro,
        cloud_init=arguments.cloud_init,
        repo_name=arguments.repo_name,
        baseurl=arguments.baseurl,
    )
    folder = Path(arguments.folder).expanduser()
    session.show(published_data(session.follow(lambda engine: engine.images.publish(arguments.name, folder, options))))


def _prune(session: Session, arguments: Namespace) -> None:
    dry_run = arguments.dry_run
    pruned = session.follow(lambda engine: engine.images.prune(dry_run=dry_run, all_unused=arguments.all, shared=arguments.shared))
    session.show(pruned_data(pruned, dry_run=dry_run))


def _build(session: Session, arguments: Namespace) -> None:
    session.show(str(session.follow(lambda engine: engine.build_template(arguments.name))))


def _split(text: str) -> tuple[str, str | None]:
    from engine.images.service import split_version

    return split_version(text)


def template_data(templates: Iterable[TemplateEntry]) -> dict[str, Any]:
    """Return template → version → what is known of it."""
    data: dict[str, Any] = {}
    for template in templates:
        data.setdefault(template.name, {})[template.version] = _entry_data(template)
    return data


def _entry_data(template: TemplateEntry) -> dict[str, Any]:
    return {
        "repo": template.repo,
        "in store": template.in_store,
        "in catalogue": template.is_known,
        "size in bytes": template.size_bytes,
        "from": template.origin,
        "also": list(template.aliases),
        "metadata": printable(template.metadata),
        **({"flaw": template.flaw} if template.flaw else {}),
    }


def printable(value: Any) -> Any:
    """Return what a stranger wrote without what would harm a terminal."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): printable(inner) for key, inner in value.items()}
    return [printable(inner) for inner in value] if isinstance(value, list | tuple) else value


def info_data(details: TemplateDetails) -> dict[str, Any]:
    """Return what is shown of one template."""
    entry = details.entry
    return {
        "name": entry.name,
        "version": entry.version,
        "versions": list(details.versions),
        **_entry_data(entry),
        "path": str(details.path) if details.path else None,
        "format": details.format,
        "virtual size in bytes": details.virtual_size,
        "download in bytes": details.download_bytes,
    }


def imported_data(imported: Imported) -> dict[str, Any]:
    """Return what is shown of an image that became a template; what nobody knows is called so."""
    return {
        "name": imported.name,
        "version": imported.version,
        "path": str(imported.path),
        "format": imported.format,
        "virtual size in bytes": imported.virtual_size,
        "cloud-init": UNKNOWN if imported.cloud_init is None else imported.cloud_init,
        "distro": printable(imported.metadata.get("distro", UNKNOWN)),
        "checked": imported.is_checked,
    }


def published_data(published: Published) -> dict[str, Any]:
    """Return what is shown of a version that was added to a repository."""
    return {
        "repository": str(published.repository),
        "repo": published.repo,
        "name": published.name,
        "version": published.version,
        "image": str(published.image),
        "sha1": published.sha1,
        "metadata": printable(published.metadata),
    }


def pruned_data(pruned: Pruned, *, dry_run: bool) -> dict[str, Any]:
    """Return what went, or would go, and why the rest stays."""
    return {
        "would remove" if dry_run else "removed": [path.name for path in pruned.removed],
        "would free in bytes" if dry_run else "freed in bytes": pruned.freed_bytes,
        "kept": {kept.path.name: kept.reason for kept in pruned.kept},
    }


ACTIONS: Mapping[str, Action] = {
    "list": _list,
    "info": _info,
    "pull": _pull,
    "import": _import,
    "publish": _publish,
    "prune": _prune,
    "build": _build,
}

COMMANDS: Mapping[str, Command] = {"template": Command(_template, _arguments)}
