"""What the reading of one file may cost, by the size of the file."""

from __future__ import annotations

MIB = 1 << 20
REFUSED = 3
"""The exit code of a reader that has a sentence to say; 1 and 2 are the interpreter's own."""
BASE = 256 * MIB
"""Bytes of address space for the interpreter (about 30 MiB) and for the values of a pickle of MAX_PICKLE bytes."""
SLACK = 16 * MIB
MAX_MEMORY = 32 << 30
MAX_PICKLE = 16 * MIB
"""Bytes of opcodes; an SAE's are some kilobytes, its weights lie beside them."""
MAX_SPENT = 1_000_000
"""Values and characters that are handed over beside the tensors; an SAE's settings are some hundreds."""
MAX_DEPTH = 100
MAX_TENSORS = 10_000


def allowance(size: int) -> int:
    """The bytes that a file of `size` bytes may become, inflated or with tensors that share their storage."""
    return 4 * size + SLACK


def memory(size: int) -> int:
    """The bytes of address space that reading a file of `size` bytes may take."""
    return min(BASE + allowance(size), MAX_MEMORY)


def seconds(size: int) -> int:
    """The seconds of computing that reading a file of `size` bytes may take: it goes at some 200 MB a second."""
    return 20 + size // (16 * MIB)


def limit_self(size: int) -> None:
    """Let the system hold this process to what a file of `size` bytes may cost, where it can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    wanted = {
        resource.RLIMIT_AS: memory(size),
        resource.RLIMIT_CPU: seconds(size),
        resource.RLIMIT_FSIZE: allowance(size) + SLACK,
        resource.RLIMIT_NOFILE: 16,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in wanted.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):  # macOS refuses some of them; the parent's clock holds there too
            continue
