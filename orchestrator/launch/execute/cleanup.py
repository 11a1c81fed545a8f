"""Removing what an attempt left on its box, once nobody needs it."""

from __future__ import annotations

import os

from orchestrator.errors import StoreError
from orchestrator.image.image_model import engine_tag
from orchestrator.launch.session import Session
from orchestrator.run.engine.engine import LABEL_ATTEMPT, LABEL_HOME, LABEL_RUN
from orchestrator.run.hardware import home_id
from orchestrator.run.permissions import open_up
from orchestrator.run.workspace import folders_of, remove_folders


def remove_files(session: Session, run: str, attempt: int) -> None:
    """Remove the folders of an attempt whose container is gone. StoreError or EngineError where they stay.

    A user other than root cannot remove what the job's user made, until that is opened (permissions.py).
    """
    settings = session.settings
    try:
        remove_folders(settings, run, attempt)
    except StoreError:
        if os.geteuid() == 0:
            raise
        folders = folders_of(settings, run, attempt)
        present = [folder for folder in (folders.workspace, folders.report) if folder.is_dir()]
        labels = {LABEL_RUN: run, LABEL_ATTEMPT: str(attempt), LABEL_HOME: home_id(settings)}
        image = engine_tag(session.record.run(run).image)  # the row could name any reference
        open_up(session.engine, image, present, labels)
        remove_folders(settings, run, attempt)
