"""How much is measured: repetitions trade time for noise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """How often, how long, and on what. Sizes are width and height in pixels."""

    starts: int
    """Starts of a device; the median counts, as of everything else here."""
    rounds: int
    """Repetitions of a comparison, so that what is compared is measured within the same seconds."""
    requests: int
    """Requests of one kind a round, of all clients together."""
    repetitions: int
    """Repetitions of something in this process."""
    clients: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    faces: tuple[int, ...]
    crowds: int
    """Pictures of a folder whose faces are counted, and of which the fullest are timed."""
    pictures: int
    """Pictures of a folder on which peers are compared."""
    ages: int
    """Answers of which the frame's age is taken."""
    processor_seconds: float
    """How long processor time is counted."""
    warm_frames: int
    """Frames after which memory is looked at for the first time."""
    frames: int
    """Frames after which memory is looked at again."""
    mixed: int
    """Mixed requests before memory is looked at again."""
    templates: tuple[int, ...]
    """Sizes of galleries that are searched, rising."""


FULL = Extent(
    starts=3,
    rounds=5,
    requests=60,
    repetitions=40,
    clients=(1, 2, 4, 8),
    sizes=((640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (4000, 3000)),
    faces=(1, 5, 10, 20, 30, 40, 50),
    crowds=250,
    pictures=8,
    ages=300,
    processor_seconds=10.0,
    warm_frames=2_000,
    frames=20_000,
    mixed=5_000,
    templates=(1_000, 10_000, 50_000),
)
"""What the figures in the README rest on."""

QUICK = Extent(
    starts=1,
    rounds=1,
    requests=4,
    repetitions=3,
    clients=(1, 2),
    sizes=((640, 480), (1280, 720)),
    faces=(1, 3, 6),
    crowds=2,
    pictures=2,
    ages=10,
    processor_seconds=0.5,
    warm_frames=30,
    frames=60,
    mixed=20,
    templates=(100, 1_000),
)
"""Whether everything works; too little for a verdict."""
