"""The rooms of docs/architecture.md: who may import whom and which library, and how long things are."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "orchestrator"

# From the bottom up. A room imports itself and what lies below it; those on one line do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "disk_room",
        "digest",
        "value",
        "durable",
        "settings",
        "redaction",
        "scratch",
        "untrusted_json",
        "structural_difference",
        "several_at_once",
        "message_wording",
        "typed_path",
    ),
    ("spec",),
    ("image",),
    ("run",),
    ("record",),
    ("verdict", "analysis"),
    ("launch",),
    ("audit",),
    ("view",),
    ("web",),
    ("api", "cli"),
)
GROUND = FLOORS[0]
# It runs in the image. The orchestrator reads its files, and calls one function of it.
APART = ("payload",)

# Outside library -> where it may be imported; a file, or a room.
DOORS = {
    "docker": ("run/engine/engine.py", "run/engine/engine_errors.py"),
    "sqlmodel": ("record",),
    "sqlalchemy": ("record",),
    "alembic": ("record",),
    "google_crc32c": ("run/metrics/event_files.py",),
    "obstore": ("record/store/bucket_store.py",),
    "cryptography": ("audit/keys.py",),
    "uv": ("launch/locking/run_uv.py",),
    "click": ("cli",),
    "starlette": ("web",),
    "uvicorn": ("web/server.py",),
    "jinja2": ("web",),
    "rich": ("cli",),
    "torch": ("payload",),
    "numpy": ("payload",),
}

# What may ask this machine for the time of day, which can be wrong by days; and why that decides nothing.
# Durations are measured by time.monotonic; a container's moments are its engine's, a record's its database's.
WALL_CLOCKS = {
    "record/database/database_clock.py": "an SQLite file has no other clock",
    "cli/options.py": "`--since 2h` is counted back from what the person's clock says",
    "cli/crash_report.py": "the name of a file for people",
    "image/registry/registry_client.py": "Retry-After may be a date; the wait is capped",
}
_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.today", "datetime.utcnow", "date.today"}

MODULE_LINES = 400
FUNCTION_LINES = 60


@dataclass(frozen=True)
class Import:
    name: str  # dotted, absolute
    line: int
    at_start: bool  # executed when the module is imported: not inside a function, not for type checkers
    for_types: bool = False  # never executed


@dataclass(frozen=True)
class Module:
    name: str  # orchestrator.verdict.compare_runs
    path: Path
    lines: int
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def where(self) -> str:
        return str(self.path.relative_to(PACKAGE))

    @property
    def imports(self) -> list[Import]:
        return list(_imports(self, self.tree, at_start=True))


def _imports(module: Module, node: ast.AST, at_start: bool, for_types: bool = False):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_start, for_types)
        elif isinstance(child, ast.ImportFrom):
            base = _base(module, child)
            for alias in child.names:
                yield Import(f"{base}.{alias.name}", child.lineno, at_start, for_types)
        else:
            typing = for_types or _for_types(child)
            lazy = typing or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(module, child, at_start and not lazy, typing)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        found[name] = Module(name, path, len(text.splitlines()), ast.parse(text))
    return found


def own_module(name: str) -> str | None:
    """Our module that a name lies in: `orchestrator.digest.Digest` -> `orchestrator.digest`."""
    if name.split(".")[0] != PACKAGE.name:
        return None
    while name not in modules() and "." in name:
        name = name.rpartition(".")[0]
    return name


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def wrong_directions(module: Module) -> list[str]:
    wrong = []
    for item in module.imports:
        target = own_module(item.name)
        if target is None:
            continue
        room = target.split(".")[1] if "." in target else ""
        line = f"{module.where}:{item.line} imports {item.name}"
        if module.room in APART:
            if room != module.room:
                wrong.append(f"{line}: {module.room} imports nothing of the orchestrator")
        elif room and room not in APART and room != module.room and module.room:
            below = floor(room) < floor(module.room) or (room in GROUND and module.room in GROUND)
            if not below:
                wrong.append(f"{line}: {room} is not below {module.room}")
    return wrong


def wrong_doors(module: Module) -> list[str]:
    return [
        f"{module.where}:{item.line} imports {item.name}: only {' and '.join(doors)} may"
        for item in module.imports
        for doors in [DOORS.get(item.name.split(".")[0])]
        if doors is not None and module.where not in doors and module.room not in doors
    ]


def test_every_room_has_a_floor():
    rooms = {module.room for module in modules().values()} - {"", *APART}
    assert rooms <= {room for floor in FLOORS for room in floor}, (
        "a new room: give it a floor, here and in docs/architecture.md"
    )
    assert {"spec", "verdict", "errors"} <= rooms, "the package was not found"


def test_imports_run_down_only():
    assert [text for module in modules().values() for text in wrong_directions(module)] == []


def test_each_outside_library_has_one_door():
    assert [text for module in modules().values() for text in wrong_doors(module)] == []


def wall_clocks(module: Module) -> list[str]:
    calls = (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return [
        f"{module.where}:{call.lineno} asks this machine's clock"
        for call in calls
        if ast.unparse(call.func) in _CLOCKS and module.where not in WALL_CLOCKS
    ]


def test_the_table_of_rooms_in_the_docs_is_the_packages():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text().partition("## The rooms")[2]
    rows = [line.split("|") for line in text.partition("## Where")[0].splitlines() if line.startswith("| `")]
    said = {
        room.rstrip("/"): set(re.findall(r"`(\w+)/`", row[3]))
        for row in rows
        for room in re.findall(r"`([\w/]+)`", row[1])
    }
    folders = {
        room: {path.name for path in (PACKAGE / room).glob("[a-z]*") if any(path.glob("[!_]*"))}
        for floor in (*FLOORS, APART)
        for room in floor
    }
    assert said == folders


def test_what_orders_or_expires_anything_asks_no_clients_clock():
    assert [text for module in modules().values() for text in wall_clocks(module)] == []
    assert {where for where in WALL_CLOCKS if not (PACKAGE / where).exists()} == set()


def test_a_clients_clock_is_seen():
    assert wall_clocks(made_up("run/x.py", "def f():\n    return time.time() - start"))
    assert not wall_clocks(made_up("run/x.py", "time.monotonic(); record.now()"))


def test_the_runtime_needs_the_standard_library_and_torch_only():
    allowed = sys.stdlib_module_names | {"torch", "numpy", PACKAGE.name}
    wrong = [
        f"{module.where}:{item.line} imports {item.name}"
        for module in modules().values()
        if module.room == "payload"
        for item in module.imports
        if item.name.split(".")[0] not in allowed
        # torch's CUDA build brings triton; without it the module is not imported.
        and (module.where, item.name.split(".")[0]) != ("payload/tensor_digest/triton_engine.py", "triton")
    ]
    assert wrong == []


def test_the_runtime_imports_torch_and_numpy_only_when_needed():
    wrong = [
        f"{module.where}:{item.line}"
        for module in modules().values()
        if module.room == "payload"
        for item in module.imports
        if item.at_start and item.name.split(".")[0] in ("torch", "numpy")
    ]
    assert wrong == []


# Folders with more modules, and why.
LARGE_FOLDERS = {
    "cli/commands": "one file for each verb",
    "web/pages": "one file for each page",
    "record/schema/migrations/versions": "one file for each change of the schema",
    "payload": "copied into images as it is",
}
FOLDER_MODULES = 13


def graph(known: dict[str, Module]) -> dict[str, set[str]]:
    """Module -> modules that it imports, inside functions, too."""
    return {
        module.name: {
            target
            for item in module.imports
            if not item.for_types and (target := own_module(item.name)) and target != module.name
        }
        for module in known.values()
    }


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Each set of modules that lead to each other."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = edges.get(ahead.pop(), set()) - seen
            seen |= new
            ahead += new
        reached[start] = seen
    found: list[set[str]] = []
    for name, seen in reached.items():
        if name in seen and not any(name in circle for circle in found):
            found.append({other for other in seen if name in reached[other]})
    return found


def test_no_import_goes_round_in_a_circle():
    assert [sorted(circle) for circle in circles(graph(modules()))] == []


def test_no_file_name_stands_twice():
    names: dict[str, list[str]] = {}
    for module in modules().values():
        if module.path.stem not in ("__init__", "__main__") and not module.where.startswith("cli/commands/"):
            names.setdefault(module.path.stem, []).append(module.where)
    assert {name: places for name, places in names.items() if len(places) > 1} == {}


def test_no_class_name_stands_twice():
    names = defaultdict(list)
    for module in modules().values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                names[node.name.lstrip("_")].append(module.where)
    assert {name: where for name, where in names.items() if len(where) > 1} == {}


def test_no_folder_is_long():
    held: dict[str, int] = {}
    for module in modules().values():
        if module.path.stem != "__init__":
            folder = module.path.parent.relative_to(PACKAGE).as_posix()
            held[folder] = held.get(folder, 0) + 1
    long = {folder for folder, count in held.items() if count > FOLDER_MODULES}
    assert {folder for folder in long if not folder.startswith(tuple(LARGE_FOLDERS))} == set()


def is_migration(module: Module) -> bool:
    """A list of tables as they once were, never to be edited again."""
    return "/migrations/versions/" in f"/{module.where}"


def test_modules_and_functions_stay_short():
    long = [
        f"{module.where}: {module.lines} lines, more than {MODULE_LINES}"
        for module in modules().values()
        if module.lines > MODULE_LINES
    ]
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_migration(module):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    where = f"{module.where}:{node.lineno} {node.name}"
                    long.append(f"{where}: {length} lines, more than {FUNCTION_LINES}")
    assert long == [], "split it where the thought splits:\n" + "\n".join(long)


# A test file of a room bears the name of a module or a folder of that room, and may say which aspect of it it
# tries: test_login.py, test_registry_hostile.py. These try a room as a whole.
WHOLE_ROOM = {
    "audit/test_out_of_reach.py",
    "audit/test_tampering.py",
    "cli/test_mistakes.py",
    "cli/test_verdict_verbs.py",
    "image/test_golden.py",
    "payload/test_jobs.py",
    "record/test_hostile_results.py",
    "record/test_hostile_runs.py",
    "record/test_processes.py",
    "record/test_round_trip.py",
    "run/test_memory.py",
}
TESTS = Path(__file__).resolve().parent


def misnamed_test(room: str, stem: str) -> bool:
    inside = [module.path for module in modules().values() if module.room == room]
    names = {path.stem for path in inside} | {path.parent.name for path in inside}
    name = stem.removeprefix("test_")
    return not any(name == known or name.startswith(f"{known}_") for known in names)


def test_a_test_file_bears_the_name_of_what_it_tests():
    rooms = {module.room for module in modules().values()} - {""}
    found = {
        path.relative_to(TESTS).as_posix(): misnamed_test(path.parent.name, path.stem)
        for path in TESTS.glob("*/test_*.py")
        if path.parent.name in rooms
    }
    assert {where for where, wrong in found.items() if wrong} == WHOLE_ROOM
    here = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert here <= {*rooms, "engines", "integration", "support"}, "a folder of tests that is no room"


def test_a_misnamed_test_is_seen():
    assert misnamed_test("spec", "test_waiting")
    assert misnamed_test("spec", "test_login"), "of another room"
    assert not misnamed_test("image", "test_login")
    assert not misnamed_test("image", "test_registry_hostile")


# The rules themselves, on modules made up for it.


def made_up(where: str, text: str) -> Module:
    name = ".".join((PACKAGE.name, *Path(where).with_suffix("").parts))
    return Module(name, PACKAGE / where, 1, ast.parse(text))


@pytest.mark.parametrize(
    ("where", "text", "caught"),
    [
        ("spec/x.py", "from orchestrator.record.run_record import RunRecord", True),
        ("spec/x.py", "def f():\n    from orchestrator.record import model", True),
        ("spec/x.py", "if TYPE_CHECKING:\n    import orchestrator.cli.main", True),
        ("spec/x.py", "from ..record.model import RunRecord", True),
        ("spec/x.py", "from .model import JobSpec\nfrom orchestrator.digest import Digest", False),
        ("cli/x.py", "from orchestrator.record.run_record import RunRecord", False),
        ("view/x.py", "from orchestrator.cli.options import json_option", True),
        ("audit/x.py", "from orchestrator.view.forms.page import View", True),
        ("payload/x.py", "from orchestrator.digest import Digest", True),
        ("payload/x.py", "from . import report_writer", False),
        ("image/x.py", "from orchestrator.payload.seccomp import program", False),
        ("errors.py", "from orchestrator.spec.jobfile.job_spec import JobSpec", True),
    ],
)
def test_a_wrong_direction_is_seen(where, text, caught):
    assert bool(wrong_directions(made_up(where, text))) is caught


@pytest.mark.parametrize(
    ("where", "text", "caught"),
    [
        ("run/plan.py", "import docker.types", True),
        ("run/plan.py", "def f():\n    from docker import types", True),
        ("run/engine/engine.py", "import docker", False),
        ("record/schema/table_base.py", "from sqlalchemy import select", False),
        ("launch/x.py", "from sqlalchemy import select", True),
        ("launch/x.py", "import click", True),
        ("view/x.py", "import rich.table", True),
        ("cli/x.py", "import rich.table\nimport click", False),
        ("spec/x.py", "import torch", True),
        ("spec/x.py", "import dockerfile, richer", False),
    ],
)
def test_a_wrong_door_is_seen(where, text, caught):
    assert bool(wrong_doors(made_up(where, text))) is caught


def test_a_circle_inside_functions_is_seen():
    one = made_up("spec/globs.py", "def f():\n    from orchestrator.spec.sizes import x")
    two = made_up("spec/sizes.py", "from orchestrator.spec import globs")
    typed = made_up("spec/sizes.py", "if TYPE_CHECKING:\n    from orchestrator.spec import globs")
    assert circles(graph({"one": one, "two": two})) == [{one.name, two.name}]
    assert circles(graph({"one": one, "two": typed})) == []


def test_what_is_imported_at_the_start_is_known():
    text = "import a\ndef f():\n    import b\nif TYPE_CHECKING:\n    import c\nclass D:\n    import d"
    found = {item.name: item.at_start for item in made_up("spec/x.py", text).imports}
    assert found == {"a": True, "b": False, "c": False, "d": True}
