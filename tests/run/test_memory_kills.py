"""Kills for memory that the engine missed, told from trees like the kernel's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.run.memory_kills import KernelFiles, MemoryKills

ID, OTHER = "27bd8d2f" * 8, "61bfc8a1" * 8
SCOPE = f"/system.slice/docker-{ID}.scope"
LINE = (
    "4,901,594560011,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=docker-{}.scope,"
    "mems_allowed=0,oom_memcg=/x,task_memcg=/system.slice/docker-{}.scope,task={},pid=32053,uid=65532\n"
)


class Kernel:
    """Files as the kernel shows them; `kills` is the machine's count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("proc/7", "cgroup"):
            (folder / name).mkdir(parents=True)
        self.files = KernelFiles(folder / "proc", folder / "cgroup", folder / "kmsg")
        self.kills(3)
        self.place(SCOPE)

    def kills(self, count: int) -> None:
        (self.folder / "proc/vmstat").write_text(f"nr_free_pages 9\noom_kill {count}\nswap_ra 0\n")

    def place(self, path: str, count: int = 0) -> None:
        (self.folder / "proc/7/cgroup").write_text(f"0::{path}\n")
        own = self.folder / "cgroup" / SCOPE[1:]
        own.mkdir(parents=True, exist_ok=True)
        (own / "memory.events").write_text(f"low 0\noom {count}\noom_kill {count}\noom_group_kill 0\n")

    def logs(self, *lines: str) -> None:
        (self.folder / "kmsg").write_text("".join(lines))

    def known(self) -> MemoryKills:
        return MemoryKills(self.folder / "saved", self.files)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_where_the_machine_s_count_stands_still_nothing_was_killed(kernel: Kernel) -> None:
    kills = kernel.known()
    kills.before_start()
    kills.look(ID, 7)
    assert kills.happened_in(ID) is False


@pytest.mark.parametrize("path", [SCOPE, f"{SCOPE}/init"])
def test_a_kill_in_the_container_s_own_cgroup_is_seen_while_it_runs(kernel: Kernel, path: str) -> None:
    kills = kernel.known()
    kills.before_start()
    kernel.place(path, 1)
    kills.look(ID, 7)
    kernel.kills(4)
    (kernel.folder / "cgroup" / SCOPE[1:] / "memory.events").unlink()  # the cgroup goes with its last process
    kills.look(ID, 7)
    assert kills.happened_in(ID) is True


def test_a_kill_at_the_very_end_is_in_the_kernel_s_log(kernel: Kernel) -> None:
    kills = kernel.known()
    kills.before_start()
    kernel.kills(4)
    kernel.logs("6,900,1,-;docker0: up\n", LINE.format(OTHER, ID, "python"))
    assert kills.happened_in(ID) is True


@pytest.mark.parametrize(
    "line",
    [
        LINE.format(OTHER, OTHER, "python"),
        LINE.format(ID, OTHER, "python"),  # it only asked for the memory that another one had
        LINE.format(OTHER, OTHER, f",task_memcg=/{ID}"),  # a program may call itself anything
        f"6,1,1,-;a program wrote {ID} here\n",
    ],
)
def test_somebody_else_s_kill_leaves_it_open(kernel: Kernel, line: str) -> None:
    kills = kernel.known()
    kills.before_start()
    kernel.kills(4)
    kernel.logs(line)
    assert kills.happened_in(ID) is None


def test_who_takes_over_knows_the_count_from_before_the_start(kernel: Kernel) -> None:
    kernel.known().before_start()
    assert kernel.known().happened_in(ID) is False
    kernel.kills(4)
    kernel.known().before_start()  # the engine may have started it when the first one asked
    assert kernel.known().happened_in(ID) is None


def test_without_a_count_from_before_nothing_is_ruled_out(kernel: Kernel) -> None:
    assert kernel.known().happened_in(ID) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda kernel: (kernel.folder / "saved").write_bytes(b"\xff" * 99),
        lambda kernel: (kernel.folder / "proc/vmstat").unlink(),
        lambda kernel: (kernel.folder / "proc/vmstat").write_text("nr_free_pages 9\n"),
    ],
)
def test_counts_that_cannot_be_read_rule_nothing_out(
    kernel: Kernel, harm: Callable[[Kernel], object]
) -> None:
    kernel.known().before_start()
    harm(kernel)
    assert kernel.known().happened_in(ID) is None


@pytest.mark.parametrize("path", ["/", "/user.slice/session-1.scope", f"/../docker-{ID}.scope"])
def test_a_process_of_another_namespace_is_not_taken_for_the_container_s(kernel: Kernel, path: str) -> None:
    kills = kernel.known()
    kills.before_start()
    kernel.place(path, 1)
    kernel.kills(4)
    kills.look(ID, 7)
    kills.look(ID, 0)
    assert kills.happened_in(ID) is None
