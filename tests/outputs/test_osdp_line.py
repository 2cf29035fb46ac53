"""The frames of an OSDP line: found between anything else, whole, and only those for this reader."""

import os
import pty
from binascii import crc_hqx

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.osdp_link import POLL, Framer, SerialLine


def frame(address=1, sequence=1, code=POLL, data=b"", *, crc=True, block=b""):
    """A frame as a panel sends it (IEC 60839-11-5, 5.9)."""
    control = sequence | crc << 2 | bool(block) << 3
    size = 5 + len(block) + 1 + len(data) + (2 if crc else 1)
    content = bytes([0x53, address]) + size.to_bytes(2, "little") + bytes([control]) + block + bytes([code]) + data
    end = crc_hqx(content, 0x1D0F).to_bytes(2, "little") if crc else bytes([-sum(content) % 256])
    return content + end


def test_a_poll_of_a_real_panel_is_understood():
    # PyPI's osdp, address 1: the first poll of a secure device, and one within the channel (with a MAC of 4 bytes)
    (first,) = Framer(1).feed(frame(sequence=0, block=b"\x02\x15"))
    assert (first.sequence, first.code, first.secure) == (0, POLL, True)
    (clear,) = Framer(1).feed(bytes.fromhex("ff") + frame(sequence=2))
    assert (clear.sequence, clear.code, clear.secure) == (2, POLL, False)
    assert clear.raw == frame(sequence=2)


commands = st.builds(
    frame,
    st.just(1),
    st.integers(0, 3),
    st.integers(0x60, 0x7F),
    st.binary(max_size=40),
    crc=st.booleans(),
    block=st.sampled_from([b"", b"\x02\x15", b"\x02\x17", b"\x03\x11\x00"]),
)
others = (
    st.builds(frame, st.sampled_from([2, 0x81, 0x82]), data=st.binary(max_size=40))
    | st.binary(max_size=10).map(lambda noise: noise.replace(b"S", b""))
)  # fmt: skip


@given(st.lists(st.tuples(others, commands), max_size=5), st.integers(1, 20))
@PARSER
def test_each_command_is_found_between_noise_and_other_readers(pairs, size):
    line, framer = b"".join(a + b for a, b in pairs), Framer(1)
    found = [each for at in range(0, len(line), size) for each in framer.feed(line[at : at + size])]
    assert [each.raw for each in found] == [command for _, command in pairs]


@given(st.lists(st.binary(max_size=30), max_size=10))
@PARSER
def test_whatever_is_on_the_line_a_command_after_a_pause_is_found(pieces):
    framer = Framer(1)
    for piece in pieces:
        list(framer.feed(piece))
    list(framer.pause())
    assert [each.raw for each in framer.feed(frame())] == [frame()]


@given(st.integers(0, 7), st.data())
@PARSER
def test_a_flipped_bit_is_no_command(bit, data):
    raw = bytearray(frame(data=b"abc"))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << bit
    framer = Framer(1)
    assert list(framer.feed(bytes(raw))) == [] == list(framer.pause())


def test_what_hides_behind_a_false_beginning_is_found_after_a_pause():
    framer = Framer(1)
    assert list(framer.feed(b"\x53\x01\xff\x00" + frame())) == []
    assert [each.raw for each in framer.pause()] == [frame()]


@pytest.mark.parametrize("baud", [9600, 230400])
def test_a_port_is_for_one_program_and_notices_its_end(baud):
    ours, theirs = pty.openpty()
    bell = os.eventfd(0)
    line = SerialLine(os.ttyname(theirs), baud)
    os.write(ours, b"\x53\r\n\x11\x13")
    assert line.wait(bell, 1) == b"\x53\r\n\x11\x13"
    assert line.wait(bell, 0.01) == b""
    os.eventfd_write(bell, 1)
    assert line.wait(bell, 1) is None
    os.eventfd_read(bell)
    line.write(b"\x53\n\xff")
    assert os.read(ours, 10) == b"\x53\n\xff"
    os.close(ours)
    with pytest.raises(OSError, match=r"."):
        line.wait(bell, 1)
    line.close()
    os.close(theirs)
    os.close(bell)


def test_what_is_no_port_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "absent"):
        with pytest.raises(OSError, match=r"."):
            SerialLine(tmp_path / name, 9600)
