"""Folders of labelled pictures: the layouts that are known, and one line about those that are not."""

from collections.abc import Callable
from pathlib import Path

import labelled
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.evaluate.datasets import (
    ALL,
    WIDER_LIST,
    LayoutError,
    read_labelled_pictures,
    read_pair_list,
    read_posed_pictures,
    read_sequences,
)
from lab.evaluate.landmarks import read_labelled_faces


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestPairs:
    def test_a_plain_table(self, tmp_path: Path, portrait: bytes, hopper: bytes) -> None:
        write(tmp_path / "pairs.csv", "image_a,image_b,same\na.jpg,a.jpg,1\na.jpg,b.jpg,0\n")
        write(tmp_path / "images" / "a.jpg", portrait)
        write(tmp_path / "images" / "b.jpg", hopper)
        listed = read_pair_list(tmp_path)
        assert listed.same.tolist() == [True, False]
        assert listed.pairs[1].image_b.read_bytes() == hopper

    @pytest.mark.parametrize("below", ["", "lfw", "images", "lfw-deepfunneled"])
    def test_lfw_with_folds(self, tmp_path: Path, portrait: bytes, hopper: bytes, below: str) -> None:
        people = {"Jane_Roe": portrait, "Grace_Hopper": hopper}
        listed = read_pair_list(labelled.lfw(tmp_path, people, folds=2, pairs=2, below=below))
        assert listed.same.tolist() == [True, True, False, False] * 2
        assert listed.folds.tolist() == [0] * 4 + [1] * 4
        first, *_, last = listed.pairs
        assert first.image_a == tmp_path / below / "Jane_Roe" / "Jane_Roe_0001.jpg"
        assert (last.image_a.parent.name, last.image_b.parent.name) == ("Jane_Roe", "Grace_Hopper")

    def test_lfw_without_folds_is_cut_into_ten(self, tmp_path: Path, portrait: bytes) -> None:
        write(tmp_path / "pairs.txt", "1\nJane_Roe 1 2\nJane_Roe 1 Eve 3\n")
        for name in ("Jane_Roe/Jane_Roe_0001", "Jane_Roe/Jane_Roe_0002", "Eve/Eve_0003"):
            write(tmp_path / f"{name}.png", portrait)
        listed = read_pair_list(tmp_path)
        assert [pair.fold for pair in listed.pairs] == [None, None]
        assert listed.pairs[1].image_b.name == "Eve_0003.png"

    @pytest.mark.parametrize(
        ("name", "content", "told"),
        [
            ("other.csv", "a,b\n1,2\n", "neither pairs.csv"),
            ("pairs.csv", "image_a,image_b\na.jpg,b.jpg\n", "the header has no same"),
            ("pairs.csv", "image_a,image_b,same\n", "no row below the header"),
            ("pairs.csv", "image_a,image_b,same\na.jpg,b.jpg,yes\n", "same is 'yes'"),
            ("pairs.csv", "image_a,image_b,same\na.jpg,b.jpg\n", "line 2: fewer fields"),
            ("pairs.csv", "image_a,image_b,same\na.jpg,b.jpg,1\n", "of one person and of two are both needed"),
            ("pairs.csv", "image_a,image_b,same\na.jpg,b.jpg,1\na.jpg,c.jpg,0\n", "a.jpg: no such picture"),
            ("pairs.csv", b"\xff\xfe\x00", "not a CSV file in UTF-8"),
            ("pairs.txt", "", "nothing is in it"),
            ("pairs.txt", "1 2 3\n", "not the number of folds and of pairs"),
            ("pairs.txt", "2\nA 1 2\n", "1 pairs, but line 1 says 4"),
            ("pairs.txt", "1\nA 1 2\nA 1\n", "line 3: not NAME I J"),
            ("pairs.txt", "1\nA 1 2\nA 1 B 1\n", "A_0001.jpg: no such picture"),
        ],
    )
    def test_one_line_about_what_is_wrong(self, tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
        write(tmp_path / name, content)
        with pytest.raises(LayoutError) as raised:
            read_pair_list(tmp_path)
        assert told in str(raised.value)
        assert "\n" not in str(raised.value)


WIDER = """\
0--Parade/0_Parade_1.jpg
2
10 20 30 40 0 0 0 0 0 0
5 5 3 3 2 0 0 1 2 0
0--Parade/0_Parade_2.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Handshaking/1_Handshaking_1.jpg
1
1 2 3 4 0 0 0 0 0 0
"""

WIDER_PICTURES = ("0--Parade/0_Parade_1.jpg", "0--Parade/0_Parade_2.jpg", "1--Handshaking/1_Handshaking_1.jpg")


@pytest.fixture
def wider(tmp_path: Path, portrait: bytes) -> Path:
    write(tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt", WIDER)
    for name in WIDER_PICTURES:
        write(tmp_path / "WIDER_val" / "images" / name, portrait)
    return tmp_path


def cells(*values: object) -> np.ndarray:
    """A column of MATLAB cells."""
    column = np.empty((len(values), 1), dtype=object)
    for place, value in enumerate(values):
        column[place, 0] = value
    return column


class TestBoxes:
    def test_settings_where_the_table_has_them(self, tmp_path: Path, portrait: bytes) -> None:
        write(tmp_path / "labels.csv", "image,x,y,w,h,easy,medium,hard\na.jpg,1,2,3,4,0,1,1\nb.jpg,,,,,,,\n")
        for name in "ab":
            write(tmp_path / "images" / f"{name}.jpg", portrait)
        first, empty = read_labelled_pictures(tmp_path)
        assert first.boxes.tolist() == [[1, 2, 3, 4]]
        assert {setting: counted.tolist() for setting, counted in first.counted.items()} == {
            "easy": [False],
            "medium": [True],
            "hard": [True],
        }
        assert (empty.boxes.shape, set(empty.counted)) == ((0, 4), {"easy", "medium", "hard"})

    def test_any_table_with_boxes(self, tmp_path: Path, portrait: bytes) -> None:
        write(tmp_path / "mine.csv", "image,x,y,w,h\na.jpg,1,2,3.5,4\na.jpg,5,6,7,8\n")
        write(tmp_path / "notes.csv", "who,what\n1,2\n")
        write(tmp_path / "a.jpg", portrait)
        (only,) = read_labelled_pictures(tmp_path)
        assert only.boxes.tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8]]
        assert only.counted[ALL].tolist() == [True, True]

    def test_wider_without_its_settings_counts_all_valid_faces(self, wider: Path) -> None:
        parade, empty, handshake = read_labelled_pictures(wider)
        assert (parade.counted[ALL].tolist(), empty.boxes.shape) == ([True, False], (0, 4))
        assert handshake.boxes.tolist() == [[1, 2, 3, 4]]

    def test_wider_with_its_settings(self, wider: Path) -> None:
        from scipy.io import savemat

        (wider / "ground_truth").mkdir()
        of_easy = [cells(np.array([[1]]), np.zeros((0, 0))), cells(np.zeros((0, 0)))]
        of_hard = [cells(np.array([[1], [2]]), np.zeros((0, 0))), cells(np.array([[1]]))]
        for setting, kept in (("easy", of_easy), ("medium", of_easy), ("hard", of_hard)):
            savemat(
                wider / "ground_truth" / f"wider_{setting}_val.mat",
                {
                    "event_list": cells("0--Parade", "1--Handshaking"),
                    "file_list": cells(cells("0_Parade_1", "0_Parade_2"), cells("1_Handshaking_1")),
                    "gt_list": cells(*kept),
                },
            )
        parade, empty, handshake = read_labelled_pictures(wider)
        assert (parade.counted["easy"].tolist(), parade.counted["hard"].tolist()) == ([True, False], [True, True])
        assert (handshake.counted["medium"].tolist(), handshake.counted["hard"].tolist()) == ([False], [True])
        assert empty.counted["hard"].size == 0

    @pytest.mark.parametrize(
        ("listed", "told"),
        [
            ("a.jpg\nmany\n", "a.jpg is not followed by the number of its faces"),
            ("a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", "the faces of a.jpg are not 2 rows of ten numbers"),
            ("a.jpg\n1\n1 2 3 4\n", "the faces of a.jpg are not 1 rows of ten numbers"),
            ("a.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n", "a.jpg: no such picture"),
        ],
    )
    def test_one_line_about_a_wrong_list(self, tmp_path: Path, listed: str, told: str) -> None:
        write(tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt", listed)
        with pytest.raises(LayoutError, match=told):
            read_labelled_pictures(tmp_path)

    def test_one_line_about_a_wrong_table(self, tmp_path: Path, portrait: bytes) -> None:
        with pytest.raises(LayoutError, match="no CSV file with image, x, y, w, h, and no wider_face_split/"):
            read_labelled_pictures(tmp_path)
        write(tmp_path / "a.jpg", portrait)
        write(tmp_path / "labels.csv", "image,x,y,w,h\na.jpg,1,2,wide,4\n")
        with pytest.raises(LayoutError, match=r"labels.csv: w is 'wide', not a number"):
            read_labelled_pictures(tmp_path)


class TestShapes:
    def test_points_are_counted_from_the_corner_of_the_picture(self, tmp_path: Path, portrait: bytes) -> None:
        points = np.arange(136, dtype=np.float64).reshape(68, 2) + 1
        write(tmp_path / "indoor" / "a.pts", labelled.pts(points))
        write(tmp_path / "indoor" / "a.png", portrait)
        (face,) = read_labelled_faces(tmp_path)
        assert face.points[0].tolist() == [0.5, 1.5]
        assert face.interocular == pytest.approx(np.hypot(18, 18))
        assert face.path.name == "a.png"

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (labelled.pts(np.ones((5, 2))), "5 points; 300-W has 68"),
            (labelled.pts(np.ones((68, 2))).replace("1.0000 1.0000", "1.0 x", 1), "not all two numbers a line"),
            (labelled.pts(np.ones((68, 2))), "a.jpg: no such picture beside its .pts"),
        ],
    )
    def test_one_line_about_wrong_points(self, tmp_path: Path, content: str, told: str) -> None:
        write(tmp_path / "a.pts", content)
        with pytest.raises(LayoutError, match=told):
            read_labelled_faces(tmp_path)

    def test_one_line_about_none(self, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match=r"no NAME.pts with the 68 points"):
            read_labelled_faces(tmp_path)


class TestPoses:
    def test_angles_in_the_contract_s_order(self, tmp_path: Path, portrait: bytes) -> None:
        write(tmp_path / "any.csv", "roll,image,pitch,yaw\n3,a.jpg,2,-1.5\n")
        write(tmp_path / "a.jpg", portrait)
        paths, poses = read_posed_pictures(tmp_path)
        assert (paths, poses.tolist()) == ([tmp_path / "a.jpg"], [[-1.5, 2, 3]])

    def test_one_line_about_none(self, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match="no CSV file with image, yaw, pitch, roll"):
            read_posed_pictures(tmp_path)


class TestSequences:
    def test_a_folder_a_species(self, tmp_path: Path) -> None:
        labelled.sequences(tmp_path, {"real": [[b"1"] * 4] * 2, "mask": [[b"2", b"3", b"4", b"5"]]})
        mask, *real = read_sequences(tmp_path)
        assert (mask.name, mask.label, mask.frames) == ("mask/00", "mask", (b"2", b"3", b"4", b"5"))
        assert [sequence.label for sequence in real] == ["real", "real"]

    def test_a_table(self, tmp_path: Path) -> None:
        labelled.sequences(tmp_path, {"films": [[b"1"] * 4, [b"2"] * 4]})
        write(tmp_path / "sequences.csv", "sequence,label\nfilms/01,print\nfilms/00,real\n")
        assert [(each.label, each.frames[0]) for each in read_sequences(tmp_path)] == [("print", b"2"), ("real", b"1")]

    def test_one_line_about_a_missing_frame(self, tmp_path: Path) -> None:
        labelled.sequences(tmp_path, {"real": [[b"1"] * 4], "print": [[b"1"] * 3]})
        with pytest.raises(LayoutError, match=r"4.jpg: no such frame"):
            read_sequences(tmp_path)

    @pytest.mark.parametrize("labels", [("real",), ("print",), ()])
    def test_both_kinds_are_needed(self, tmp_path: Path, labels: tuple[str, ...]) -> None:
        labelled.sequences(tmp_path, {label: [[b"1"] * 4] for label in labels})
        with pytest.raises(LayoutError, match="real people and attacks are both needed"):
            read_sequences(tmp_path)


NUMBERS = st.sampled_from(["0", "1", "2", "12", "-3", "1.5", "nan", "1e999", "²", "9" * 5000, "x", ""])

TEXTS = st.lists(st.lists(NUMBERS, max_size=11).map(" ".join), max_size=8).map("\n".join) | st.text(max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


class TestWhateverIsWritten:
    """A reader returns labels, or raises LayoutError, whatever a file says."""

    @given(text=TEXTS)
    def test_lfw(self, folder: Path, text: str) -> None:
        unreadable(lambda: read_pair_list(folder), write(folder / "pairs.txt", text))

    @given(text=TEXTS)
    def test_wider(self, folder: Path, text: str) -> None:
        unreadable(lambda: read_labelled_pictures(folder), write(folder / WIDER_LIST, text))

    @given(text=TEXTS)
    def test_points(self, folder: Path, text: str) -> None:
        unreadable(lambda: read_labelled_faces(folder), write(folder / "a.pts", text))

    @given(rows=st.lists(st.lists(NUMBERS | st.text(max_size=9), max_size=5).map(",".join), max_size=5))
    @pytest.mark.parametrize("header", ["image,yaw,pitch,roll", "image,x,y,w,h", "image_a,image_b,same"])
    def test_tables(self, folder: Path, header: str, rows: list[str]) -> None:
        tables = folder / "tables"
        name = "pairs.csv" if "same" in header else "table.csv"
        table = write(tables / name, "\n".join([header, *rows]))
        read = {"image,yaw,pitch,roll": read_posed_pictures, "image,x,y,w,h": read_labelled_pictures}
        unreadable(lambda: read.get(header, read_pair_list)(tables), table)
        table.unlink()


def unreadable(read: Callable[[], object], path: Path) -> None:
    """There are no pictures, so that no labels can be whole."""
    with pytest.raises(LayoutError) as raised:
        read()
    assert "\n" not in str(raised.value)
    assert str(path.parent.parent) in str(raised.value)


@pytest.mark.data
def test_the_development_pictures(data: Path) -> None:
    pairs = read_pair_list(data / "verification")
    assert (len(pairs.pairs), int(pairs.same.sum()), len(set(pairs.folds.tolist()))) == (1000, 500, 10)
    labelled_pictures = read_labelled_pictures(data / "detection")
    assert (len(labelled_pictures), sum(len(each.boxes) for each in labelled_pictures)) == (250, 3233)
    assert len(read_labelled_faces(data / "landmarks")) == 120
    assert len(read_sequences(data / "liveness")) == 119
