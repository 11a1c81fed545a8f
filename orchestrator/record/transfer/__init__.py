"""Runs that go from one record into another."""
