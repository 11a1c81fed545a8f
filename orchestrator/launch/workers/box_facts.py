"""How a box describes itself in the record."""

from __future__ import annotations

import os

from orchestrator import __version__
from orchestrator.digest import Digest, canonical_json
from orchestrator.launch.session import Session
from orchestrator.record.run_record import BoxFacts, BoxGpu
from orchestrator.run.hardware import Gpu, boot_id, box_id, host_bits


def facts_of_box(session: Session, name: str, slots: int, gpus: tuple[Gpu, ...]) -> BoxFacts:
    """EngineError where no engine answers: such a box executes nothing."""
    engine = session.engine.info()
    bits = host_bits(gpus[:1])
    return BoxFacts(
        id=box_id(session.settings),
        name=name,
        state="up",
        boot=boot_id(),
        slots=slots,
        cpus=os.cpu_count() or 1,
        memory=engine.memory,
        gpus=tuple(BoxGpu(name=gpu.name, memory=gpu.memory) for gpu in gpus),
        bit_class=bits,
        bit_digest=Digest.of(canonical_json(bits)),
        versions={"reprise": __version__, "engine": engine.version, "kernel": engine.kernel},
    )
