"""Makes the seeds of each process of the job from its place in the tree of processes.

The first Python process of a command has the seed of the spec itself. Each process that a Python process
starts has a number of 64 bits, its state, made of its parent's state, of how it was started, and of how many
the parent had started in this way before: `fork`, `process` (multiprocessing's spawn and forkserver) or the
name of the program (`python`, `sh`). So it depends on the order in which one process starts others, not on
pids, times or contents. A launcher's rank (RANK, ...) above 0 goes in, too.

The state travels in REPRISE_LINEAGE, or in what multiprocessing sends to a new process. Processes that a
shell starts share the state of the shell.
"""

from __future__ import annotations

import _posixsubprocess
import os
import sys
from _thread import RLock

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

VARIABLE = "REPRISE_LINEAGE"  # 16 hex digits; empty or absent: the first process
LEVEL = "REPRISE_LEVEL"  # without it the payload does nothing
_LEVEL_IS = f"{LEVEL}=".encode()
RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
MASK = (1 << 64) - 1

_seed = 0
_state: int | None = None  # None: the first process
_started: dict[str, int] = {}  # how many children, by how they were started
_lock: Any = RLock()  # a fork may come inside of a launch (preexec_fn)
_unwatched: Any = None  # called where Python is started without our variables: it runs without the payload


def begin(seed: int, unwatched: Callable[[], None]) -> None:
    """Learn this process's state, and number the processes that it starts. Once per interpreter.

    `unwatched` is called before this process starts Python in an environment without our variables.
    """
    global _seed, _state, _unwatched
    _seed, _unwatched = seed, unwatched
    _state = _from_hex(os.environ.pop(VARIABLE, ""))
    rank = next((os.environ[name] for name in RANKS if name in os.environ), "0")
    if rank.isdigit() and len(rank) < 10 and int(rank):
        _state = _mixed(f"rank:{int(rank)}")
    # Now, while there is one thread: to add a variable moves the table that getenv reads in other threads.
    os.putenv(VARIABLE, _hex(_state))
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
    _wrap_launches()


def own_seed() -> int:
    """The spec's seed in the first process, the process's own state in every other."""
    return _seed if _state is None else _state


def seed_random(random: Any) -> None:
    """Also in forked children, where Python seeds `random` again from the system's entropy. Our function runs
    after Python's own, because it was registered later."""
    random.seed(own_seed())
    os.register_at_fork(after_in_child=lambda: random.seed(own_seed()))


def seed_numpy(numpy_random: Any) -> None:
    numpy_random.seed(_words())


def seed_torch(torch: Any) -> None:
    """Every device: CUDA's waits until the job initialises it."""
    torch.manual_seed(own_seed())


def _words() -> int | list[int]:
    """The seed in numpy's form: a number of 32 bits, or a list of these."""
    seed = own_seed()
    return seed if _state is None else [seed >> 32, seed & 0xFFFFFFFF]


def on_spawn(spawn: Any) -> None:
    """multiprocessing.spawn, which forkserver uses, too. A forkserver forks children in the order in which
    requests arrive, so the process that asks for a child sends its state along.
    """
    get, prepare = spawn.get_preparation_data, spawn.prepare

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**get(name), VARIABLE: _next_child("process")}

    def prepared(data: dict[str, Any]) -> None:
        state = data.get(VARIABLE)
        if isinstance(state, int) and not isinstance(state, bool):
            _take_place(state)
        prepare(data)

    spawn.get_preparation_data, spawn.prepare = _like(get_preparation_data, get), _like(prepared, prepare)


def _take_place(state: int) -> None:
    """Take a state that came after the interpreter's start. Generators that the script has not touched are
    seeded again; a forkserver may have imported the script, which seeded them or drew from them.
    """
    global _state
    random = sys.modules.get("random")
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    before, words = own_seed(), _words()
    fresh_numpy = numpy is not None and _same_numpy(numpy.get_state(), numpy.RandomState(words).get_state())
    fresh_torch = torch is not None and bool(
        torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(before).get_state())
    )
    _state = state & MASK
    if random is not None:
        random.seed(own_seed())
    if fresh_numpy:
        seed_numpy(numpy)
    if fresh_torch:
        seed_torch(torch)


def _same_numpy(one: Any, other: Any) -> bool:
    return one[0] == other[0] and one[2:] == other[2:] and bool((one[1] == other[1]).all())


def _before_fork() -> None:
    _lock.acquire()
    _started["fork"] = _started.get("fork", 0) + 1


def _after_fork() -> None:
    _lock.release()


def _in_child() -> None:
    global _state, _lock
    _state = _mixed(f"fork:{_started['fork']}")
    _started.clear()
    _lock = RLock()  # another thread of the parent may hold the old one


def _next_child(kind: str) -> int:
    """The state of the next child of a kind."""
    with _lock:
        _started[kind] = number = _started.get(kind, 0) + 1
        return _mixed(f"{kind}:{number}")


def _mixed(text: str) -> int:
    """This process's state and a text as one number (FNV-1a, then the last steps of splitmix64)."""
    found = 0xCBF29CE484222325
    for byte in f"{_seed}/{_hex(_state)}/{text}".encode(errors="surrogateescape"):
        found = ((found ^ byte) * 0x100000001B3) & MASK
    found = ((found ^ (found >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    found = ((found ^ (found >> 27)) * 0x94D049BB133111EB) & MASK
    return found ^ (found >> 31)


def _hex(state: int | None) -> str:
    return "" if state is None else f"{state:016x}"


def _from_hex(text: str) -> int | None:
    try:
        return int(text, 16) & MASK if text else None
    except ValueError:
        return None


# What starts another program


def _wrap_launches() -> None:
    """subprocess and multiprocessing end in fork_exec or posix_spawn; os.spawn* forks and executes."""
    launch = _posixsubprocess.fork_exec

    def fork_exec(args: Any, programs: Any, close: Any, keep: Any, cwd: Any, env: Any, *rest: Any) -> Any:
        name = _name(programs[0] if programs else b"")
        with _lock:
            state = _hex(_next_child(name))
            ours = LEVEL in os.environ if env is None else any(pair.startswith(_LEVEL_IS) for pair in env)
            _look_at(name, ours)
            if env is not None:
                if ours:
                    env = [pair for pair in env if not pair.startswith(b"REPRISE_LINEAGE=")]
                    env.append(f"{VARIABLE}={state}".encode())
                return launch(args, programs, close, keep, cwd, env, *rest)
            os.putenv(VARIABLE, state)
            try:
                return launch(args, programs, close, keep, cwd, env, *rest)
            finally:
                os.putenv(VARIABLE, _hex(_state))

    _posixsubprocess.fork_exec = _like(fork_exec, launch)
    if getattr(sys.modules.get("subprocess"), "_fork_exec", None) is launch:
        sys.modules["subprocess"]._fork_exec = fork_exec  # type: ignore[attr-defined]
    for name, make in (
        ("posix_spawn", _posix_spawn),
        ("posix_spawnp", _posix_spawn),
        ("system", _system),
        ("execv", _execv),
        ("execve", _execve),
    ):
        original = getattr(os, name, None)
        if original is not None:
            _replace(name, original, make(original))


def _replace(name: str, original: Any, wrapper: Any) -> None:
    """Replace it in `os` and in the module where it was defined: pickle looks it up there."""
    _like(wrapper, original)
    if original in os.supports_fd:
        os.supports_fd.add(wrapper)
    setattr(os, name, wrapper)
    setattr(sys.modules[original.__module__], name, wrapper)


def _like(wrapper: Any, original: Any) -> Any:
    wrapper.__module__, wrapper.__doc__ = original.__module__, original.__doc__
    wrapper.__name__, wrapper.__qualname__ = original.__name__, original.__qualname__
    return wrapper


def _posix_spawn(original: Callable[..., Any]) -> Callable[..., Any]:
    def posix_spawn(path: Any, argv: Any, env: Any, *rest: Any, **options: Any) -> Any:
        state = _hex(_next_child(_name(path)))
        if env is None:  # Python 3.13: this process's own environment
            env = os.environ
        return original(path, argv, _with(path, env, state), *rest, **options)

    return posix_spawn


def _system(original: Callable[..., Any]) -> Callable[..., Any]:
    def system(command: Any) -> Any:
        os.putenv(VARIABLE, _hex(_next_child("sh")))
        try:
            return original(command)
        finally:
            os.putenv(VARIABLE, _hex(_state))

    return system


def _execv(original: Callable[..., Any]) -> Callable[..., Any]:
    """A process that executes another program, perhaps after a fork, keeps its state."""

    def execv(path: Any, argv: Any) -> Any:
        _look_at(_name(path), LEVEL in os.environ)
        os.putenv(VARIABLE, _hex(_state))
        return original(path, argv)

    return execv


def _execve(original: Callable[..., Any]) -> Callable[..., Any]:
    def execve(path: Any, argv: Any, env: Any) -> Any:
        return original(path, argv, _with(path, env, _hex(_state)))

    return execve


def _with(path: Any, env: Mapping[Any, Any], state: str) -> Mapping[Any, Any]:
    """A child without our variables runs without the payload, so it gets no state."""
    keys = list(env)  # os.environ cannot be asked for bytes, nor os.environb for text
    ours = LEVEL in keys or LEVEL.encode() in keys
    _look_at(_name(path), ours)
    if not ours:
        return env
    return {**{key: env[key] for key in keys if key not in (VARIABLE, VARIABLE.encode())}, VARIABLE: state}


def _look_at(name: str, ours: bool) -> None:
    """`ours`: whether the program that is about to start has our variables."""
    if not ours and name.startswith("python"):
        _unwatched()


def _name(path: Any) -> str:
    try:
        return os.path.basename(os.fsdecode(path))  # noqa: PTH119 - pathlib costs 9 ms
    except TypeError:
        return "program"
