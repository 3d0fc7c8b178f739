"""What the system says of a process: its memory and its descriptors."""

import re
from pathlib import Path


def resident_bytes(pid: int) -> int:
    """Its memory now."""
    return _status(pid, "VmRSS")


def most_resident_bytes(pid: int) -> int:
    """The most memory that it had since it began, or since `forget_most_resident`."""
    return _status(pid, "VmHWM")


def forget_most_resident(pid: int) -> None:
    """Count the most memory from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid: int) -> int:
    """How many descriptors it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _status(pid: int, name: str) -> int:
    [kib] = re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) * 1024
