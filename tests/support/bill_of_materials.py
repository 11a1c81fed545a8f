"""What CycloneDX's own validator says of a bill of materials."""

from __future__ import annotations


def fault(text: str) -> object | None:
    """None for a valid one."""
    # Imported here: that takes seconds, and every process of pytest imports every file of tests.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
