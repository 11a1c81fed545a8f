"""Commands that `reprise init` drafted."""

from __future__ import annotations

import shlex

from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.placeholders import fill_command


def words_of(spec: JobSpec) -> list[str]:
    """The words that the shell makes of a command of text, its values filled in."""
    return shlex.split(fill_command(spec.command, spec.params, spec.seed)[-1])
