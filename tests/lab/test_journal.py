"""Answers that are kept: none is asked for twice, and none is taken for another."""

from contextlib import closing
from pathlib import Path

import pytest
from lab.evaluate.client import Journal

FACTS = {"sdk_version": "1", "runtime": {"name": "r"}, "models": [{"sha256": "00"}]}


def number(journal: Journal, picture: bytes, answer: object, question: str = "q", **query: int) -> object:
    return journal.answer(question, [picture], query, lambda: answer)


def test_an_answer_is_asked_for_once(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "answers", FACTS)) as journal:
        assert number(journal, b"a", {"x": [1.5, None]}) == {"x": [1.5, None]}
        assert number(journal, b"a", "another") == {"x": [1.5, None]}
        assert (journal.asked, journal.remembered) == (1, 1)
    with closing(Journal(tmp_path / "answers", FACTS)) as journal:
        assert number(journal, b"a", "another") == {"x": [1.5, None]}
        assert (journal.asked, journal.remembered) == (0, 1)


def test_whatever_differs_is_another_question(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    with closing(Journal(path, FACTS)) as journal:
        assert number(journal, b"a", 1, minsize=8) == 1
        assert number(journal, b"a", 2, minsize=9) == 2
        assert number(journal, b"b", 3, minsize=8) == 3
        assert number(journal, b"a", 4, "p", minsize=8) == 4
        assert journal.answer("q", [b"a", b"b"], {"minsize": 8}, lambda: 5) == 5
        assert journal.answer("q", [b"b", b"a"], {"minsize": 8}, lambda: 6) == 6
    with closing(Journal(path, {**FACTS, "models": [{"sha256": "01"}]})) as journal:
        assert number(journal, b"a", 7, minsize=8) == 7
    with closing(Journal(path, {**FACTS, "calibration": {"threshold": 0.3}})) as journal:
        assert number(journal, b"a", 8, minsize=8) == 8
    with closing(Journal(path, {**FACTS, "liveness_mode": "MULTI"})) as journal:
        assert number(journal, b"a", 9, minsize=8) == 1


@pytest.mark.parametrize("content", [b"\x00\xff\n[]\n" * 100, b'{"question": "q"}\n'])
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers"
    path.write_bytes(content)
    with pytest.raises(OSError, match="no file of answers"):
        Journal(path, FACTS)
    assert path.read_bytes() == content


def test_what_is_asked_may_fail_and_is_not_kept(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "answers", FACTS)) as journal:
        with pytest.raises(ZeroDivisionError):
            journal.answer("q", [b"a"], {}, lambda: 1 // 0)
        assert number(journal, b"a", 1) == 1


def test_one_evaluation_at_a_time(tmp_path: Path) -> None:
    busy = pytest.raises(OSError, match="another evaluation is writing to it")
    with closing(Journal(tmp_path / "answers", FACTS)), busy:
        Journal(tmp_path / "answers", FACTS)


def test_without_a_file_nothing_is_kept() -> None:
    with closing(Journal(None, FACTS)) as journal:
        assert (number(journal, b"a", 1), number(journal, b"a", 2)) == (1, 2)
