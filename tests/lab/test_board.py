"""What the record says of a machine, read from files as kernels write them."""

from pathlib import Path

from lab.bench import command

PI = """processor\t: 0
BogoMIPS\t: 108.00
CPU implementer\t: 0x41
CPU part\t: 0xd08

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
PC = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nprocessor\t: 1\nmodel name\t: AMD EPYC 9B14\n"


def test_the_processor_of_a_pi_is_its_numbers() -> None:
    assert command.processor(PI) == "0x41 0xd08"


def test_the_processor_of_a_pc_has_a_name() -> None:
    assert command.processor(PC) == "AMD EPYC 9B14"


def test_an_unknown_text_is_empty(tmp_path: Path) -> None:
    assert command.processor("") == ""
    assert command._text(str(tmp_path / "nothing")) == ""


def test_temperatures_are_in_degrees() -> None:
    assert all(-50 < degrees < 150 for degrees in command.board()["temperatures_c"])
