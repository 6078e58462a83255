"""Upkeep of an installation: checks beyond the database's own audits, sizes, backups and their restoration."""
