"""`appliance people`: each act, and what it prints."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping

from appliance.access_control.recall import RecordError
from appliance.caretaker import archives, erasing, passphrase, persons, place
from appliance.config import Config
from appliance.faults import Fault
from appliance.gallery.archive import Count
from appliance.gallery.dossier import OnConflict
from appliance.gallery.people import GalleryError
from appliance.vision.store import ModelError


def run(options: argparse.Namespace, settings: Config) -> int:
    """Does what was asked; the exit status."""
    try:
        return _ACTS[options.act](options, settings)
    except OSError as error:
        print(": ".join(map(str, filter(None, (error.filename, error.strerror)))), file=sys.stderr)
    except (GalleryError, RecordError, ModelError, Fault) as error:
        print(error, file=sys.stderr)
    return 1


def _list(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        print(json.dumps(persons.documents(gallery)) if options.json else "\n".join(persons.lines(gallery)) or "nobody")
        return _told(gallery.problem())


def _show(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        known = gallery.person(options.id)
        document = persons.document(gallery, known)
        print(json.dumps({"person": document}) if options.json else "\n".join(persons.details(known)))
        return _told(gallery.problem())


def _add(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings) as gallery:
        gallery.add(persons.new(options))
    return _said(f"{options.id} is known; their pictures: appliance people enrol {options.id} PHOTO")


def _change(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        gallery.change(persons.changed(gallery.person(options.id).person, options))
    return _said(f"{options.id} is changed")


def _enrol(options: argparse.Namespace, settings: Config) -> int:
    from appliance.caretaker import enrolling  # it brings the engine along

    status = 0
    for line, taken in enrolling.enrolled(options, settings):
        print(line, file=sys.stdout if taken else sys.stderr, flush=True)
        status = status if taken else 1
    return status


def _forget(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        known = gallery.forget(options.id, options.number)
    return _said(f"template {options.number} is erased; {options.id} has {len(known.templates)} others")


def _erase(options: argparse.Namespace, settings: Config) -> int:
    if bool(options.ids) == options.all:
        print("erase: ID …, or --all", file=sys.stderr)
        return 2
    return erasing.erase(settings, None if options.all else options.ids, sure=options.yes)


def _rotate(_options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        gallery.rotate()
        count = Count(len(gallery.people()), gallery.templates)
    return _said(f"{count}: turned anew; copies of the old templates are of no use any more")


def _export(options: argparse.Namespace, settings: Config) -> int:
    return _written(options, settings, options.ids or None)


def _backup(options: argparse.Namespace, settings: Config) -> int:
    return _written(options, settings, None)


def _import(options: argparse.Namespace, settings: Config) -> int:
    wanted = OnConflict.REPLACE if options.replace else OnConflict.SKIP if options.skip else OnConflict.REFUSE
    merged = archives.merge(settings, options.file, passphrase.of_old(options.passphrase_file), wanted)
    for what, ids in (("added", merged.added), ("replaced", merged.replaced), ("left as they were", merged.skipped)):
        if ids:
            print(f"{what}: {' '.join(ids)}")
    return 0


def _restore(options: argparse.Namespace, settings: Config) -> int:
    restored = archives.restore(settings, options.file, passphrase.of_old(options.passphrase_file))
    if restored.key:
        _said(
            f"the gallery that was here cannot be used any more; a new one has begun, sealed by {restored.key}: "
            "restart the device"
        )
    return _said(f"{restored.count} of {restored.label.made.astimezone():%Y-%m-%d %H:%M}, instead of all who were here")


def _written(options: argparse.Namespace, settings: Config, ids: list[str] | None) -> int:
    count = archives.write(
        settings, options.file, passphrase.of_new(options.passphrase_file), ids, whole=options.act == "backup"
    )
    return _said(f"{options.file}: {count}; without the passphrase nobody can read it, nor you")


def _said(line: str) -> int:
    print(line, file=sys.stderr)
    return 0


def _told(problem: GalleryError | None) -> int:
    """What is wrong with the gallery, to whoever reads from it; the exit status."""
    if problem is None:
        return 0
    print(problem, file=sys.stderr)
    return 1


_ACTS: Mapping[str, Callable[[argparse.Namespace, Config], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "change": _change,
    "enrol": _enrol,
    "forget": _forget,
    "erase": _erase,
    "rotate": _rotate,
    "export": _export,
    "import": _import,
    "backup": _backup,
    "restore": _restore,
}
