"""The checks of an audit, each over one part of the record."""
