"""The audit: what the record, the store, the engine and the registry say, computed again."""
