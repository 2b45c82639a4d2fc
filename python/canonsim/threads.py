"""How many threads the heavy calls of the Rust core use."""

from __future__ import annotations

from canonsim import _native


def get_num_threads() -> int:
    """Threads that heavy calls use: as set, else ``CANONSIM_NUM_THREADS``, else ``OMP_NUM_THREADS``, else all cores.

    Where nothing is set a forked process, such as a worker of a data loader, uses one: its siblings are beside it.

    >>> import canonsim
    >>> canonsim.get_num_threads() >= 1
    True
    """
    return _native.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set the threads of every later heavy call in this process.

    Parameters
    ----------
    threads : int
        At least 1.

    Raises
    ------
    ValueError
        If ``threads`` is less than 1.

    Examples
    --------
    >>> import canonsim
    >>> before = canonsim.get_num_threads()
    >>> canonsim.set_num_threads(1)
    >>> canonsim.get_num_threads()
    1
    >>> canonsim.set_num_threads(before)
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    _native.set_num_threads(threads)
