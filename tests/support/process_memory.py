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


def connections_to(port: int) -> int:
    """How many TCP connections a server on this machine has open on its port, as the system counts them."""
    open_states = {"01", "08"}  # established; closed by the client alone
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] in open_states for line in lines)


def _status(pid: int, name: str) -> int:
    [kib] = re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) * 1024
