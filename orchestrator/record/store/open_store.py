"""The store that the settings name. What a store can do is in blob_store.py."""

from __future__ import annotations

from orchestrator.record.store.blob_store import Store
from orchestrator.settings import Settings


def open_store(settings: Settings) -> Store:
    """The store that REPRISE_STORE names. UsageError for another kind of address."""
    if settings.bucket is not None:
        from orchestrator.record.store.bucket_store import BucketStore

        return BucketStore(settings.bucket, settings.home / "spool")
    from orchestrator.record.store.folder_store import BlobStore

    return BlobStore(settings.store)
