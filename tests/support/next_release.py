"""`reprise` as a release to come might be: one more determinism setting, and another payload.

`python next_release.py WORDS…` is its `reprise WORDS…`. It must go on reading what this release made.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from orchestrator.image import determinism_settings, payload_releases

NUMBER = max(determinism_settings.NEWEST, payload_releases.NEWEST) + 1


def arrive(folder: Path) -> None:
    """From now on this process assembles with another set and another payload."""
    files = {
        **payload_releases.payload(),
        "report_writer.py": payload_releases.payload()["report_writer.py"] + b"\nNEXT = True\n",
    }
    lines = {name: data.decode().splitlines(keepends=True) for name, data in files.items()}
    (folder / f"{NUMBER}.json").write_text(json.dumps(lines))
    payload_releases.DIGESTS[NUMBER] = payload_releases.payload_digest(files)
    determinism_settings.SETS[NUMBER] = lambda **asked: {
        **determinism_settings.SETS[1](**asked),
        "NEXT_SETTING": "1",
    }
    payload_releases.FOLDER, payload_releases.NEWEST, determinism_settings.NEWEST = folder, NUMBER, NUMBER
    payload_releases.payload.cache_clear()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as room:
        arrive(Path(room))
        from orchestrator.cli.main import main

        sys.argv[0] = "reprise"
        main()
