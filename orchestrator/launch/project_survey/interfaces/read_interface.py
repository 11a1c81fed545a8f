"""Which of the command-line libraries a script uses, and what its options are."""

from __future__ import annotations

from orchestrator.launch.project_survey.entry_point import EntryPoint
from orchestrator.launch.project_survey.interfaces.argparse_options import read_argparse
from orchestrator.launch.project_survey.interfaces.script_options import ScriptInterface


def read_interface(entry: EntryPoint) -> ScriptInterface:
    """The script's options; none where it reads no command line that was understood."""
    found = read_argparse(entry.modules, entry.script, entry.function)
    return found if found is not None else ScriptInterface("")
