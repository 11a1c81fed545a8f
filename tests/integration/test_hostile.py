"""Jobs that mean harm, each on the real engine: contained, recorded, and named for what they did."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, write_job

pytestmark = pytest.mark.engine
ALG_PROBE = Path(__file__).parent.parent / "support" / "syscall_probe.py"


def submit(box: Box, tmp_path: Path, script: str, extra: str = "", code: int = 0) -> Any:
    return box.json("submit", str(write_job(tmp_path / "job", script, extra)), code=code)


def log(box: Box, run: Any) -> str:
    return str(box.type("logs", run["id"]).out)


def test_a_fork_bomb_is_contained(box: Box, tmp_path: Path) -> None:
    script = """
import os, time
for _ in range(10000):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
    except OSError as error:
        print('refused:', error, flush=True)
        break
os._exit(3)
"""
    run = submit(box, tmp_path, script, "resources: {processes: 64}", code=1)
    assert "refused" in log(box, run)
    assert (run["failure"], run["exit_code"]) == ("job", 3)


def test_the_limits_of_a_job_are_those_of_its_cgroup(box: Box, tmp_path: Path) -> None:
    """As the kernel has them, on cgroup v1 or v2: an engine leaves out what its machine does not give it."""
    script = """
import json
from pathlib import Path
top = Path('/sys/fs/cgroup')
if (top / 'cgroup.controllers').exists():
    names = ['memory.max', 'memory.swap.max', 'pids.max', 'cpu.max']
    memory, swap, processes, cpu = ((top / name).read_text() for name in names)
    quota, period = map(int, cpu.split())
    both = int(memory) + int(swap)
else:
    names = ['memory/memory.limit_in_bytes', 'memory/memory.memsw.limit_in_bytes', 'pids/pids.max',
             'cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us']
    memory, both, processes, quota, period = (int((top / name).read_text()) for name in names)
print(json.dumps([int(memory), int(both), int(processes), quota / period]))
"""
    run = submit(box, tmp_path, script, "resources: {memory: 256MiB, processes: 50, cpus: 0.5}")
    assert json.loads(log(box, run)) == [256 << 20, 256 << 20, 50, 0.5]


@pytest.mark.parametrize("child", [False, True])
def test_a_memory_bomb_is_seen_even_where_the_exit_code_is_0(box: Box, tmp_path: Path, child: bool) -> None:
    bomb = "x = bytearray(400 << 20); print('survived', flush=True)"
    script = f"""
import subprocess, sys
if {child}:
    subprocess.run([sys.executable, '-c', {bomb!r}])
    sys.exit(0)
{bomb}
"""
    run = submit(box, tmp_path, script, "resources: {memory: 128MiB}", code=1)
    assert run["oom_killed"]
    assert (run["state"], run["failure"]) == ("failed", "memory")
    if child:
        assert run["exit_code"] == 0
    assert "survived" not in log(box, run)


def test_a_job_that_ignores_term_dies_at_its_deadline(box: Box, tmp_path: Path) -> None:
    script = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))
print('up', flush=True)
while True:
    time.sleep(1)
"""
    start = time.monotonic()
    run = submit(box, tmp_path, script, "resources: {timeout: 2}", code=1)
    assert time.monotonic() - start < 30
    assert (run["state"], run["failure"]) == ("failed", "timeout")
    assert "2 s" in run["message"]


@pytest.mark.parametrize("mebibytes", [96, pytest.param(1024, marks=pytest.mark.acceptance)])
def test_a_flood_of_output_is_cut_and_said_so(box: Box, tmp_path: Path, mebibytes: int) -> None:
    script = f"""
import sys
line = 'x' * 1023 + '\\n'
for _ in range({mebibytes}):
    sys.stdout.write(line * (1 << 10))
print('the end')
"""
    run = submit(box, tmp_path, script)
    assert run["log"]["truncated"]
    assert run["log"]["size"] < 9 << 20
    assert log(box, run).rstrip().endswith("the end")


def test_outputs_that_are_no_files_are_listed_and_not_followed(box: Box, tmp_path: Path) -> None:
    script = r"""
import os, socket
os.symlink('/etc/shadow', 'shadow')
os.symlink('/', 'root')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
open(b'name-\xff\x1b[2J', 'w').write('x')
open('line\nbreak', 'w').write('x')
open('plain.txt', 'w').write('plain')
try:
    os.mknod('device', 0o600 | 0o020000, os.makedev(1, 3))
except PermissionError as error:
    print(error)
"""
    run = submit(box, tmp_path, script)
    status = {output["path"]: (output["status"], output["reason"]) for output in run["outputs"]}
    assert status == {
        "plain.txt": ("kept", None),
        "shadow": ("rejected", "symlink"),
        "root": ("rejected", "symlink"),
        "fifo": ("rejected", "fifo"),
        "socket": ("rejected", "socket"),
        "name-\\xff\\x1b[2J": ("rejected", "name is not UTF-8"),
        "line\\x0abreak": ("rejected", "control character in name"),
    }
    shown = box.type("show", run["id"]).out + box.type("outputs", run["id"]).out
    assert "\x1b" not in shown


@pytest.mark.parametrize("folders", [20, pytest.param(100, marks=pytest.mark.acceptance)])
def test_thousands_of_files_are_kept(box: Box, tmp_path: Path, folders: int) -> None:
    script = """
import os
for folder in range(FOLDERS):
    os.mkdir(f'd{folder:03}')
    for number in range(100):
        open(f'd{folder:03}/{number:03}.txt', 'w').write(f'{folder} {number}')
"""
    run = submit(box, tmp_path, script.replace("FOLDERS", str(folders)))
    assert len(run["outputs"]) == folders * 100
    assert {output["status"] for output in run["outputs"]} == {"kept"}


def test_a_sparse_file_of_15_gb_breaks_the_policy(box: Box, tmp_path: Path) -> None:
    script = "[open(f'sparse{n}', 'wb').truncate(5 << 30) for n in range(3)]"
    run = submit(box, tmp_path, script, "resources: {output_size: 6GiB}", code=1)
    assert (run["state"], run["failure"]) == ("failed", "policy")
    assert run["outputs"] == []


def test_a_job_that_fills_the_disk_is_stopped(box: Box, tmp_path: Path) -> None:
    script = """
import time
for number in range(10000):
    open(f'f{number}', 'wb').write(b'x' * (1 << 20))
    time.sleep(0.005)
"""
    run = submit(box, tmp_path, script, "resources: {output_size: 64MiB}", code=1)
    assert (run["state"], run["failure"]) == ("failed", "policy")
    assert "output_size" in run["message"]


def test_nothing_outside_its_own_can_be_written_or_reached(box: Box, tmp_path: Path) -> None:
    script = """
import os, socket
def attempt(name, work):
    try:
        work()
        print(name, 'REACHED', flush=True)
    except OSError as error:
        print(name, 'refused', flush=True)
attempt('etc', lambda: open('/etc/evil', 'w'))
attempt('runtime', lambda: open('/opt/reprise/runtime/entry.py', 'w'))
attempt('root', lambda: open('/evil', 'w'))
attempt('network', lambda: socket.create_connection(('1.1.1.1', 80), timeout=2))
attempt('name', lambda: socket.getaddrinfo('example.org', 80))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('setuid', lambda: os.setuid(0))
attempt('chroot', lambda: os.chroot('/tmp'))
attempt('docker', lambda: open('/var/run/docker.sock'))
attempt('kernel', lambda: open('/proc/sysrq-trigger', 'w'))
print('caps', [line for line in open('/proc/self/status') if line.startswith('CapEff')])
print('interfaces', sorted(os.listdir('/sys/class/net')))
"""
    text = log(box, submit(box, tmp_path, script))
    assert "REACHED" not in text
    assert text.count("refused") == 10
    assert "CapEff:\\t0000000000000000" in text
    assert "interfaces ['lo']" in text


def test_the_kernels_ciphers_cannot_be_reached_and_other_sockets_can(box: Box, tmp_path: Path) -> None:
    """AF_ALG, which Docker's own profile lets through; each way to it that the probe knows."""
    run = submit(box, tmp_path, ALG_PROBE.read_text())
    found = json.loads(log(box, run))
    allowed = {name: code for name, code in found.items() if name.startswith(("inet", "unix"))}
    assert set(allowed.values()) <= {0, -11}, found
    assert allowed["inet"] == allowed["unix"] == allowed["unix pair"] == 0
    shut = {name: code for name, code in found.items() if name not in allowed and name != "socketcall bind"}
    assert {shut["alg"], shut["alg in a child"], shut["alg in a thread"], shut["alg in a fork"]} == {1}
    assert set(shut.values()) <= {1, -11}, found
    assert run["notes"] == []


def test_another_runs_folder_cannot_be_read(box: Box, tmp_path: Path) -> None:
    first = submit(box, tmp_path, "open('mine.txt', 'w').write('mine')")
    script = f"""
import os
found = []
for here, folders, names in os.walk('/'):
    if here.startswith('/proc'):
        folders.clear()
    found += [name for name in names if name == 'mine.txt' or name == 'reprise.db']
print('found', found)
print('home', os.path.exists({str(box.settings.home)!r}))
"""
    text = log(box, box.json("submit", str(write_job(tmp_path / "spy", script))))
    assert "found []" in text
    assert "home False" in text
    assert first["state"] == "succeeded"


def test_a_log_that_would_move_the_terminal_is_shown_clean(box: Box, tmp_path: Path) -> None:
    script = "print('\\x1b]0;evil\\x07\\x1b[2Jred \\u202e done', flush=True)"
    outcome = box.type("submit", str(write_job(tmp_path / "job", script)))
    assert outcome.code == 0
    assert "done" in outcome.out
    for character in ("\x1b", "\x07", "\u202e"):
        assert character not in outcome.out + outcome.err


@pytest.mark.acceptance
def test_megabytes_of_short_lines_are_kept_whole(box: Box, tmp_path: Path) -> None:
    """The engine's own log stores 27 bytes more with each line, and has forgotten the first ones.

    A flood of longer lines, which makes it forget as much, is in every test run: test_logs.py.
    """
    run = submit(box, tmp_path, "import sys\nfor _ in range(130): sys.stdout.write('7\\n' * 10_000)")
    assert run["log"]["size"] == 2_600_000
    assert not run["log"]["truncated"]
    assert log(box, run) == "7\n" * 1_300_000


def test_reports_that_no_column_can_hold_do_not_hang_the_run(box: Box, tmp_path: Path) -> None:
    script = """
import json
def forge(name, value):
    with open('/run/reprise/' + name, 'w') as file:
        json.dump(value, file)
forge('entry.json', {'packages': {'a\\ud800': '\\ud800'}, 'source': {}})
forge('start-7.json', {'argv': ['\\udcff'], 'flags': {'torch.num_threads': '\\ud800'}})
"""
    assert submit(box, tmp_path, script)["state"] == "succeeded"


@pytest.mark.parametrize(
    "script",
    [
        # 17 names of 250 bytes are a longer path than any system call takes
        "for _ in range(20):\n    os.mkdir('n' * 250)\n    os.chdir('n' * 250)",
        "os.chdir('/run/reprise')",
    ],
    ids=["long paths", "reports"],
)
def test_a_job_cannot_hide_what_it_writes(box: Box, tmp_path: Path, script: str) -> None:
    fill = """
for number in range(4):
    with open(str(number), 'wb') as file:
        file.write(b'x' * (32 << 20))
time.sleep(20)
"""
    script = f"import os, time\n{script}\n{fill}"
    run = submit(box, tmp_path, script, "resources: {output_size: 64MiB}", code=1)
    assert (run["state"], run["failure"]) == ("failed", "policy")
    assert run["seconds"] < 15
