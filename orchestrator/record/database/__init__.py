"""Connections and transactions, on SQLite and on Postgres."""
