"""Upkeep of the databases: audits, sizes, dumps, and the move to a newer PostgreSQL."""
