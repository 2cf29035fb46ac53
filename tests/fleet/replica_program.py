"""A device of a fleet as a process of its own, for networks that are cut: a gallery and its member.

Arguments: folder, number, URLs (none: without a member). Each line of standard input is a JSON list, an act and its arguments,
which one line of JSON answers.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "fleet")]

from replicas import Site, unit  # noqa: E402

from appliance.gallery.people import GalleryError  # noqa: E402
from appliance.supervision import give_back  # noqa: E402


def main() -> None:
    """Works until the end of standard input."""
    folder, number, urls = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(",")
    site = Site(folder, number, urls)
    acts = {
        "digest": site.digest,
        "give_back": give_back,
        "people": lambda: len(site.gallery.snapshot.people),
        "add": site.add,
        "rename": site.rename,
        "erase": lambda identity: site.gallery.erase(identity).reference,
        "share": lambda identity: site.member.share(identity),
        "name": site.name,
        "who": lambda seed: site.gallery.ranking(unit(seed))[0].reference,
        "silent": lambda: site.member.silent_s(),
        "conflicts": lambda: [each.identity for each in site.member._replica.conflicts],
    }
    with site.running() if sys.argv[3] else nullcontext():
        print("ready", flush=True)
        for line in sys.stdin:
            word, *arguments = json.loads(line)
            try:
                answer = acts[word](*arguments)
            except GalleryError as error:
                answer = f"{type(error).__name__}: {error}"
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
