"""What happened how often, counted by many threads."""

import threading
from collections import Counter


class Tally:
    """Counts what was meant to happen, and apart from it what was not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.meant: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    def add(self, what: str, times: int = 1, *, wrong: bool = False) -> None:
        """Takes note of something."""
        with self._lock:
            (self.wrong if wrong else self.meant)[what] += times
