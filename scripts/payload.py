"""Write the payload that images get, from the room `payload`: `python scripts/payload.py [--new]`.

Without --new it rewrites the newest one, which is right until that one was released; with it, under the next
number. Says the digest that goes into orchestrator/image/payload_releases.py.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from orchestrator.image import payload_releases  # noqa: E402
from orchestrator.image.assembly.layers import PTH  # noqa: E402

ROOM = ROOT / "orchestrator" / "payload"
# The package is made by reprise.pth; the second file is mounted into a container of its own.
NOT_BAKED = {"__init__.py", "compare_torch_files.py"}


def written() -> dict[str, bytes]:
    """Path below the room -> content, as the room has them now."""
    paths = {str(path.relative_to(ROOM)): path for path in (*ROOM.rglob("*.py"), ROOM / PTH)}
    return {name: path.read_bytes() for name, path in sorted(paths.items()) if name not in NOT_BAKED}


def main(words: list[str]) -> None:
    number = payload_releases.NEWEST + ("--new" in words)
    files = written()
    lines = {name: data.decode().splitlines(keepends=True) for name, data in files.items()}
    text = json.dumps(lines, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (payload_releases.FOLDER / f"{number}.json").write_text(text, "utf-8")
    module = Path(payload_releases.__file__)
    code = module.read_text("utf-8")
    entry = f'    {number}: Digest("{payload_releases.payload_digest(files)}"),\n'
    if "--new" in words:
        code = code.replace('}\n"""Every payload that', f'{entry}}}\n"""Every payload that', 1)
    else:
        code = re.sub(rf"    {number}: Digest\(.*\),\n", entry, code, count=1)
    module.write_text(code, "utf-8")
    print(f"payload {number}: {payload_releases.payload_digest(files)}")


if __name__ == "__main__":
    main(sys.argv[1:])
