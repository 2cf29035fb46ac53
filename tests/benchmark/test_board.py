"""What the record says of a machine, read from files as kernels write them."""

from pathlib import Path

from appliance.benchmark import board

PI = """processor\t: 0
BogoMIPS\t: 108.00
CPU implementer\t: 0x41
CPU part\t: 0xd08

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
PC = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nprocessor\t: 1\nmodel name\t: AMD EPYC 9B14\n"


def test_the_processor_of_a_pi_is_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(PI, "utf-8")
    assert board._processor(tmp_path / "cpuinfo") == "0x41 0xd08"


def test_the_processor_of_a_pc_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(PC, "utf-8")
    assert board._processor(tmp_path / "cpuinfo") == "AMD EPYC 9B14"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert board._processor(tmp_path / "nothing") == ""
    assert board._text(tmp_path / "nothing") == ""


def test_temperatures_are_in_degrees(tmp_path: Path) -> None:
    for name, text in {"a": "48312\n", "b": "-1500\n", "c": "", "d": "too hot\n"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    files = [*sorted(tmp_path.iterdir()), tmp_path / "nothing"]
    assert list(board._degrees(files)) == [48.312, -1.5]
