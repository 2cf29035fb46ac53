"""The C library's heap, kept small: by default each thread keeps freed picture buffers to itself."""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt (malloc.h)."""

LARGE = 8 << 20
"""Bytes from which a buffer is mapped by itself, and goes back to the system when freed; glibc would raise it to 32 MiB.
Pictures of cameras stay below it (1920 x 1080: 6 MB): memory that is mapped anew for each of them makes decoding 1280 x 720
take 2.7 ms instead of 1.6 (x86-64, p50 of `POST /faces`: 20.3 and 18.3 ms).
"""

KEPT = 16 << 20
"""Bytes of freed memory that a heap keeps for the next picture."""

ARENAS = 2
"""Heaps that all threads share; glibc would make eight a core."""


def keep_small() -> None:
    """Bounds the heap. Call before threads start; without glibc it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns what is free to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
