"""The README and the pages of `docs/`, block by block, and what they print beside what a command answers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")

_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_NUMBER = r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)"
_VARIES = re.compile(rf"(?P<cut>\s*…\s*)|(?P<time>{_TIME})|(?P<number>{_NUMBER})")

TOLERANCE = 0.02
"""Of a printed number, relative or absolute: another runtime or precision moves a point by a hundredth of a pixel."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, and the `text` block that directly follows it: what its commands print."""

    page: str
    language: str
    text: str
    answer: str | None


def blocks(page: str, language: str) -> list[Block]:
    """The fenced blocks of a page in one language, in order."""
    text = (ROOT / page).read_text("utf-8")
    found = list(_FENCED.finditer(text))
    following = [*found[1:], None]
    made = []
    for block, after in zip(found, following, strict=True):
        adjacent = after is not None and after[1] == "text" and not text[block.end() : after.start()].strip()
        made.append(Block(page, block[1], block[2], after[2] if after is not None and adjacent else None))
    return [block for block in made if block.language == language]


def commands(block: Block) -> list[str]:
    """The commands of a block; one that goes on after a pipe is one."""
    return block.text.replace("|\n  ", "| ").splitlines()


def inline(page: str) -> Iterator[str]:
    """What a page shows as code inside its sentences and tables."""
    for span in _INLINE.findall(_FENCED.sub("", (ROOT / page).read_text("utf-8"))):
        yield span.replace("\\|", "|")


def agrees(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows: `…` is anything, a time any time, a number one within TOLERANCE.

    Line breaks do not count, because answers of the API have none.
    """
    pattern, numbers, end = "", [], 0
    shown, printed = ("".join(text.splitlines()) for text in (shown, printed))
    for part in _VARIES.finditer(shown):
        pattern += re.escape(shown[end : part.start()])
        pattern += {"cut": ".*?", "time": _TIME, "number": f"({_NUMBER})"}[str(part.lastgroup)]
        if part["number"]:
            numbers.append(float(part["number"]))
        end = part.end()
    found = re.fullmatch(pattern + re.escape(shown[end:]), printed)
    return found is not None and all(
        abs(float(number) - wanted) <= TOLERANCE * max(1, abs(wanted))
        for number, wanted in zip(found.groups(), numbers, strict=True)
    )
