"""Tampering and trouble, seen in the pictures, with hysteresis."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from cameras import HEIGHT, WIDTH, noisy, on_canvas

from appliance.camera.condition import ENTER_SECONDS, LEAVE_SECONDS, Inspector, Trouble
from appliance.camera.source import CameraFrame
from appliance.face.types import Pixels

RATE = 6


class Watched:
    """An inspector that is shown a film."""

    def __init__(self) -> None:
        self.inspector = Inspector(WIDTH, HEIGHT)
        self._count = 0

    def show(self, picture: Callable[[int], Pixels], seconds: float) -> Trouble | None:
        """Shows so many seconds of it, and says what is wrong then."""
        for _ in range(round(seconds * RATE)):
            self._count += 1
            self.inspector.look(CameraFrame(picture(self._count), 100 + self._count / RATE))
        return self.inspector.trouble


@pytest.fixture
def sound(portrait: bytes) -> Callable[[int], Pixels]:
    return noisy(on_canvas(portrait))


TROUBLED: dict[str, tuple[Trouble, Callable[[Callable[[int], Pixels]], Callable[[int], Pixels]]]] = {
    "night": (Trouble.DARK, lambda sound: lambda n: sound(n) // 20),
    "cap": (Trouble.DARK, lambda _: lambda n: np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
    "thumb": (Trouble.DARK, lambda _: noisy(np.full((HEIGHT, WIDTH, 3), (180, 90, 70), np.uint8))),
    "frozen": (Trouble.FROZEN, lambda sound: lambda n: sound(1)),
    "blurred": (Trouble.BLURRED, lambda sound: lambda n: cv2.GaussianBlur(sound(n), (0, 0), 0.015 * WIDTH)),
    "small": (Trouble.WRONG_SIZE, lambda sound: lambda n: np.ascontiguousarray(sound(n)[:240, :320])),
}


@pytest.mark.parametrize("name", TROUBLED)
def test_a_trouble_begins_and_ends_with_hysteresis(name: str, sound: Callable[[int], Pixels]) -> None:
    trouble, spoil = TROUBLED[name]
    film = Watched()
    spoiled = spoil(sound)
    assert film.show(sound, 5) is None
    assert film.show(spoiled, ENTER_SECONDS - 1) is None, "too early"
    assert film.show(spoiled, 2) is trouble
    assert film.show(sound, LEAVE_SECONDS - 1) is trouble, "over too early"
    assert film.show(sound, 2) is None


@pytest.mark.parametrize("name", TROUBLED)
def test_a_moment_of_it_is_no_trouble(name: str, sound: Callable[[int], Pixels]) -> None:
    spoiled = TROUBLED[name][1](sound)
    film = Watched()
    for _ in range(6):
        assert film.show(spoiled, ENTER_SECONDS - 1) is None
        assert film.show(sound, 0.5) is None


def test_between_the_two_thresholds_it_stays_what_it_was(sound: Callable[[int], Pixels]) -> None:
    def grey(level: int) -> Callable[[int], Pixels]:
        """Structured, and of this mean."""
        return lambda n: np.clip(sound(n) * 0.12 + level - 0.12 * 110, 0, 255).astype(np.uint8)

    film = Watched()
    assert film.show(grey(20), 8) is None
    assert film.show(grey(9), 5) is Trouble.DARK
    assert film.show(grey(20), 8) is Trouble.DARK
    assert film.show(sound, 3) is None


def test_of_several_troubles_the_worst_is_named() -> None:
    film = Watched()
    black = np.zeros((240, 320, 3), np.uint8)
    assert film.show(lambda _: black, 5) is Trouble.DARK


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 8])
@pytest.mark.parametrize("hold", [1, 2, 3])
def test_only_one_picture_again_and_again_is_frozen(count: int, hold: int, sound: Callable[[int], Pixels]) -> None:
    """Whatever the length of a loop, and however long each of its pictures is held."""
    loop = [sound(number) for number in range(count)]
    assert Watched().show(lambda n: loop[n // hold % count], 6) is (Trouble.FROZEN if count == 1 else None)


def wall(*, corners: float = 0.25, door: float = 40, blurred: float = 0.0) -> Pixels:
    """A wall with a door before which nobody stands: `corners` darker there, the door `door` grey levels darker."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    grey = 190 * (1 - corners * (x**2 + y**2) / 2)
    grey[HEIGHT // 4 :, WIDTH * 5 // 8 : WIDTH * 3 // 4] -= door
    if blurred:
        grey = cv2.GaussianBlur(grey, (0, 0), blurred * WIDTH)
    return np.repeat(grey[..., np.newaxis], 3, 2).astype(np.uint8)


@pytest.mark.parametrize("corners", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("door", [30.0, 80.0])
def test_a_wall_with_a_door_is_no_trouble(corners: float, door: float) -> None:
    assert Watched().show(noisy(wall(corners=corners, door=door)), 6) is None


@pytest.mark.parametrize("corners", [0.0, 0.1, 0.25])
def test_nothing_but_a_surface_is_taken_for_a_covered_lens(corners: float) -> None:
    assert Watched().show(noisy(wall(corners=corners, door=0)), 6) is Trouble.DARK


def test_real_photographs_are_no_trouble(portrait: bytes, hopper: bytes) -> None:
    for content in (portrait, hopper):
        assert Watched().show(noisy(on_canvas(content)), 8) is None


def test_only_what_hides_the_present_blinds() -> None:
    assert {trouble.value for trouble in Trouble if trouble.blinds} == {
        "starting",
        "no_camera",
        "no_frames",
        "frozen",
    }


def test_the_clock_of_frames_may_jump() -> None:
    inspector = Inspector(WIDTH, HEIGHT)
    for captured in (1000.0, 5.0, 6.0, 7.0, 8.0, 9.0):
        inspector.look(CameraFrame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), captured))
    assert inspector.trouble is Trouble.DARK
