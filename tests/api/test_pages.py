"""The pages in the language of the client."""

import json
import re

import pytest
from client import Client
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.pages import COOKIE, ENGLISH, MENU, PAGES, WEB, language_of

KNOWN = sorted(path.stem for path in (WEB / "texts").glob("*.json"))


def chosen(accepted: str = "", cookie: str = "") -> str:
    return language_of({"HTTP_ACCEPT_LANGUAGE": accepted, "HTTP_COOKIE": cookie}, KNOWN)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH", "de"),
        ("DE-de, en;q=0.5", "de"),
        ("en;q=0.8, fr;q=0.9", "fr"),
        ("nl, ja;q=0.3, *;q=0.1", "ja"),
        ("de;q=0, ko;q=0.001", "ko"),
        ("es-419 ; q=0.7 , pt-BR", "es"),
        ("de;q=0", "en"),
        ("nl", "en"),
        ("fr;q=x, de;q=2", "en"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
    ],
)
def test_the_client_gets_the_language_that_it_prefers(accepted: str, language: str) -> None:
    assert chosen(accepted) == language


def test_a_language_that_was_chosen_by_hand_comes_first() -> None:
    assert chosen("de", f"{COOKIE}=ja") == "ja"
    assert chosen("de", f"a=b; {COOKIE}=ko; c=d") == "ko"
    assert chosen("de", f"{COOKIE}=xx") == "de"
    assert chosen("", f"{COOKIE}=../en") == ENGLISH


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_headers_lead_to_a_language(accepted: str, cookie: str) -> None:
    assert chosen(accepted, cookie) in KNOWN


@given(st.permutations(KNOWN), st.lists(st.integers(1, 1000), min_size=len(KNOWN), max_size=len(KNOWN), unique=True))
def test_the_largest_weight_decides(languages: list[str], weights: list[int]) -> None:
    header = ", ".join(f"{code};q={weight / 1000:.3f}" for code, weight in zip(languages, weights, strict=True))
    assert chosen(header) == languages[weights.index(max(weights))]


@pytest.mark.parametrize(("path", "current"), [("/", "./"), ("/door", None), ("/fleet", "fleet"), ("/docs", "docs")])
def test_every_page_has_the_same_menu(device: Client, path: str, current: str | None) -> None:
    (menu,) = re.findall(r'<nav aria-label="[^"]*">(.*)</nav>', device.get(path).content.decode())
    links = re.findall(r'<a href="([^"]+)"( aria-current="page")?>[^<]+</a>', menu)
    assert [link for link, _ in links] == list(MENU)
    assert [link for link, marked in links if marked] == ([current] if current else [])


@pytest.mark.parametrize("path", [path for path in PAGES.values() if "<" not in path])
def test_a_page_is_served_whole_in_each_language(device: Client, path: str) -> None:
    for code in KNOWN:
        answer = device.ask("GET", path, headers={"Accept-Language": code})
        page = answer.content.decode()
        texts = json.loads((WEB / "texts" / f"{code}.json").read_text("utf-8"))
        assert f'<html lang="{code}">' in page
        assert f'<option value="{code}" lang="{code}" selected>{texts["language.name"]}</option>' in page
        assert len(re.findall('<option value="[a-z]+" lang=', page)) == len(KNOWN)
        assert texts["page.door"] in page
        assert "{{" not in page
        assert json.loads(re.search('<script type="application/json" id="texts">(.*?)</script>', page)[1]) == texts
        assert answer.headers["Content-Language"] == code
        assert answer.headers["Vary"] == "Accept-Language, Cookie"
