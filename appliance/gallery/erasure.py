"""What is known after somebody was erased."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """Whose data were erased (a reference leads to nobody any more), how many templates, when (UTC), and whether nothing of
    them is left in the database's files. It is not `complete` while another program reads from the log (WAL); the gallery
    empties that as soon as it can.
    """

    reference: str
    templates: int
    time: datetime
    complete: bool
