"""Session: the parts of this box, each opened when it is first needed."""

from __future__ import annotations

import importlib
import threading
from functools import cached_property
from socket import gethostname
from typing import TYPE_CHECKING, Self

from orchestrator.record.runs.author import person
from orchestrator.settings import Settings, load

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.launch.inputs.input_cache import InputCache
    from orchestrator.launch.workers.input_reach import InputReach
    from orchestrator.record.record import Record
    from orchestrator.record.store.blob_store import Store, StoreOwner
    from orchestrator.run.engine.engine import Engine
    from orchestrator.spec.known_hashes import KnownHashes

RECORD = "orchestrator.record.record"


class Session:
    """Settings, and lazily the record, the blob store and the engine.

    Opening is lazy because every verb pays only for what it uses: the record costs 0.33 s of imports,
    the engine 0.1 s.

    `at_the_end` names modules that the caller needs after a job: they are imported while it runs.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.at_the_end: tuple[str, ...] = ()
        self._warming: threading.Thread | None = None
        self._store_tried = False
        self.rehash = False  # read each file of an input, also one that seems unchanged; set before first use
        self._read_for: float | None = None  # seconds; None: it may write, too
        self._as_it_is = False

    @classmethod
    def open(cls) -> Self:
        return cls(load())

    @classmethod
    def to_read(cls, settings: Settings, seconds: float) -> Self:
        """A session that only looks: each question to its record ends after so long, and its store is not
        waited for.
        """
        session = cls(settings)
        session._read_for = seconds
        return session

    @classmethod
    def as_it_is(cls, settings: Settings) -> Self:
        """A session whose record only reads, and is neither made nor migrated."""
        session = cls(settings)
        session._as_it_is = True
        return session

    @cached_property
    def record(self) -> Record:
        self._join()
        from orchestrator.record.record import open_reading_record, open_record, open_record_as_it_is

        if self._as_it_is:
            return open_record_as_it_is(self.settings)
        if self._read_for is not None:
            return open_reading_record(self.settings, self._read_for)
        return open_record(self.settings)

    @cached_property
    def store(self) -> Store:
        from orchestrator.record.store.open_store import open_store

        store = open_store(self.settings)
        store.owner, store.on_mended = self._ledger, self._mended
        if self._read_for is not None:
            from orchestrator.record.store.answer_limit import AnswerLimit

            store.limit = AnswerLimit(f"the store {store.name}")
        return store

    def try_store(self) -> None:
        """Try once whether the store keeps bytes: StoreError, or UsageError where its address is wrong.

        It is tried before a job begins, not when it is done.
        """
        if not self._store_tried:
            self.store.try_out()
            self._store_tried = True

    @cached_property
    def known_hashes(self) -> KnownHashes:
        from orchestrator.spec.known_hashes import KnownHashes

        return KnownHashes(self.settings.hashes, rehash=self.rehash)

    @cached_property
    def inputs(self) -> InputCache:
        from orchestrator.launch.inputs.input_cache import InputCache

        return InputCache(self.settings, self.known_hashes)

    @cached_property
    def input_reach(self) -> InputReach:
        from orchestrator.launch.workers.input_reach import InputReach

        return InputReach(self)

    @cached_property
    def engine(self) -> Engine:
        from orchestrator.run.engine.engine import Engine

        return Engine.connect()

    def _ledger(self) -> StoreOwner:
        """The ledger of the record whose rows name what this session stores."""
        from orchestrator.record.store.blob_store import StoreOwner

        return StoreOwner(
            self.record.ledger.head().id, f"{self.record.address}, first by {person()}@{gethostname()}"
        )

    def _mended(self, digests: list[Digest]) -> None:
        self.record.ledger.add_event("store.mended", None, {"blobs": sorted(digests)})

    def warm(self, *modules: str) -> None:
        """Import modules, by default the record's, while the caller waits for disk, engine or job."""

        def work() -> None:
            for name in modules or (RECORD,):
                importlib.import_module(name)

        self._join()
        self._warming = threading.Thread(target=work, name="warm", daemon=True)
        self._warming.start()

    def _join(self) -> None:
        if self._warming is not None:
            self._warming.join()
            self._warming = None

    def close(self) -> None:
        self._join()
        for name in ("record", "engine", "known_hashes"):
            part = self.__dict__.pop(name, None)
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
