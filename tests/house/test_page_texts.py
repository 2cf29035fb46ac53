"""The pages' texts stand in the catalogues of all languages, and nowhere else."""

import json
import re
from html.parser import HTMLParser

import pytest

from appliance.access.enrol import PHOTO_TEXTS, Prompt
from appliance.access.identify import STATES
from appliance.access.reason import Reason
from appliance.api.pages import ENGLISH, MENU, PAGES, WEB

CATALOGUES = {path.stem: json.loads(path.read_text("utf-8")) for path in (WEB / "texts").glob("*.json")}
TEXTS = CATALOGUES[ENGLISH]

PLACE, WORD = re.compile(r"\{\{([\w.-]+)\}\}"), re.compile(r"[A-Za-z]{2,}")
RENDERED = {"lang", "languages", "menu", "texts"}

CALLS = re.compile(r"""\b(?:text|words)\(\s*(?:[^"`()]*\?\s*)?"([\w.]+)"(?:\s*:\s*"([\w.]+)")?""")
"""A call with a key, or with the choice between two."""

BY_NAME = re.compile(r"""["`]([a-z_]+\.[\w-]+)["`]""")
GROUPS = re.compile(r"""\bgroup\("(\w+)"\)""")
BEGUN = re.compile(r"""\btext\(`(\w+\.)\$\{""")

SAME_EVERYWHERE = {
    "Face Appliance",
    "Face Appliance:",
    "– Face Appliance",  # noqa: RUF001 - a dash
    "minsize",
    "maxsize",
    "detectcount",
    "SHA-256",
    "openapi.json",
    "(OpenAPI 3.1).",
}
"""The names of the product and of things in its API."""

SHOWN = {"aria-label", "placeholder", "title", "alt", "data-empty"}
"""The attributes that a person reads or hears."""


def scripts():
    return {path.name: path.read_text("utf-8") for path in WEB.glob("*.js")}


def used():
    """The keys that pages and scripts name, and the words of groups that scripts take as a whole."""
    keys = {key for name in PAGES for key in PLACE.findall((WEB / name).read_text("utf-8"))} - RENDERED | {
        *MENU.values()
    }
    begun = set()
    for source in scripts().values():
        keys |= {key for call in CALLS.findall(source) for key in call if key}
        keys |= {key for key in BY_NAME.findall(source) if key in TEXTS}
        begun |= {f"{word}." for word in GROUPS.findall(source)} | set(BEGUN.findall(source))
    return keys, tuple(begun)


def places(value):
    """The places for values in each form of a text."""
    forms = [value] if isinstance(value, str) else value.values()
    return [sorted(re.findall(r"\{(\w+)\}", form)) for form in forms]


def test_every_key_that_is_used_has_a_text_and_every_text_is_used():
    keys, begun = used()
    assert keys - set(TEXTS) == set()
    assert all(any(key.startswith(begin) for key in TEXTS) for begin in begun)
    assert {key for key in TEXTS if not key.startswith(begun)} - keys == {
        "language.name",  # of which the choice of languages is made
        "invitation.consent",  # which invitations.py sends
    }


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_language_has_every_text(language):
    assert list(CATALOGUES[language]) == list(TEXTS)
    for key, value in CATALOGUES[language].items():
        assert all(form.strip() == form != "" for form in ([value] if isinstance(value, str) else value.values())), key
        assert isinstance(value, str) == isinstance(TEXTS[key], str), key


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_language_has_the_places_of_the_english_text(language):
    for key, value in CATALOGUES[language].items():
        wanted = {name for form in places(TEXTS[key]) for name in form}
        if isinstance(value, str):
            assert places(value) == places(TEXTS[key]), key
        else:  # a form for a single thing may name it without its number
            assert places(value["other"]) == places(TEXTS[key]["other"]), key
            assert all(set(form) <= wanted for form in places(value)), key


@pytest.mark.parametrize("language", CATALOGUES)
def test_no_key_stands_twice_in_a_catalogue(language):
    lines = (WEB / "texts" / f"{language}.json").read_text("utf-8")
    assert len(re.findall(r'^  "', lines, re.MULTILINE)) == len(CATALOGUES[language])


def test_every_reason_and_every_prompt_of_the_device_has_a_text():
    assert {key.removeprefix("reason.") for key in TEXTS if key.startswith("reason.")} == set(Reason)
    assert {key.removeprefix("prompt.") for key in TEXTS if key.startswith("prompt.")} == set(Prompt)


def test_every_state_of_the_gallery_and_every_fault_of_a_photo_has_a_text():
    assert {f"problem.{state}" for state, _ in STATES.values()} - set(TEXTS) == set()
    assert {f"refusal.{prompt}" for prompt in PHOTO_TEXTS} - set(TEXTS) == set()


def test_every_state_with_a_text_is_one_of_the_device(root):
    program = "".join(path.read_text("utf-8") for path in (root / "appliance").rglob("*.py"))
    states = {key.partition(".")[2] for key in TEXTS if key.startswith(("problem.", "refusal."))}
    roles = {f"{role}_unusable" for role in ("detector", "landmarks", "embedder", "liveness")}
    assert {state for state in states - roles if f'"{state}"' not in program} == set()


class Visible(HTMLParser):
    """What a page shows that is neither a text of the catalogue nor code."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], []

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)
        self.found += [value for name, value in attrs if name in SHOWN and value and WORD.search(PLACE.sub("", value))]

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        words = " ".join(PLACE.sub("", data).split())
        if WORD.search(words) and "code" not in self.inside:
            self.found.append(words)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_no_page_has_texts_of_its_own(name):
    page = Visible()
    page.feed((WEB / name).read_text("utf-8"))
    assert [words for words in page.found if words not in SAME_EVERYWHERE] == []


WORDS = re.compile(r"""["`]([A-Z][a-z]+(?: [a-z$][^"`]*)?)["`]""")
PROTOCOL = re.compile(r"Escape|Bearer \$\{\w+\}")
"""The names of a key of the keyboard, and of a scheme of HTTP."""


@pytest.mark.parametrize("name", scripts())
def test_no_script_has_texts_of_its_own(name):
    source = re.sub(r"/\*.*?\*/|//[^\n]*", "", scripts()[name], flags=re.DOTALL)
    assert [words for words in WORDS.findall(source) if not PROTOCOL.fullmatch(words)] == []


def test_texts_beside_the_catalogue_are_found():
    page = Visible()
    page.feed('<h1>{{a.b}} of</h1><p title="Help">{{c}} <code>curl</code></p><input aria-label="{{d}}">')
    assert page.found == ["of", "Help"]
    assert WORDS.findall('make("b", {}, "Edit"), `Row ${row}: x`, x === "closer", "Not one"') == [
        "Edit",
        "Row ${row}: x",
        "Not one",
    ]


def test_styles_have_no_texts():
    for path in WEB.glob("*.css"):
        assert [
            words for words in re.findall(r'content: *"([^"]*)"', path.read_text("utf-8")) if WORD.search(words)
        ] == []
