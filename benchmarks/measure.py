"""What a run cost: seconds, CPU seconds and peak memory of processes, bytes that passed a link."""

import os
import platform
import resource
import statistics
from pathlib import Path
from typing import Any, Final, NamedTuple

_TICK: Final = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """One run. seconds: from listening or call to done. cpu: seconds, of both sides. peak: bytes of the larger side."""

    seconds: float
    cpu: float = 0.0
    peak: int = 0  # 0 if not known
    wire: int = 0  # bytes, link headers included
    first_class: float = 0.0  # seconds until the first class was complete, 0 if not asked


def cpu_and_peak(pid: int) -> tuple[float, int]:
    """(CPU seconds, peak resident bytes) of a live process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK, _memory(pid, "VmHWM")


def resident(pid: int) -> int:
    """Resident bytes of a live process now."""
    return _memory(pid, "VmRSS")


def _memory(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name + ":"))) * 1024


def cpu_of_children() -> float:
    """CPU seconds of all processes that were waited for, with those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def median(costs: list[Cost]) -> Cost:
    """Field by field."""
    return Cost(*(type(values[0])(statistics.median(values)) for values in zip(*costs, strict=True)))


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and what else it did: the load average of a minute, and tasks that run."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": model[0].split(":")[1].strip() if model else platform.machine(),
        "memory": memory.split(":")[1].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "loadavg": Path("/proc/loadavg").read_text().strip(),
    }
