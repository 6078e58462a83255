"""Errors of the database floor, and the root of the whole tree.

The tree is drawn in `xray.errors`; it is rooted here because `db` imports nothing from `xray`.
"""


class XrayError(Exception):
    """Anything that a user can put right: the message says what is wrong, what was expected and what to do."""


class DatabaseError(XrayError):
    """The database can't be reached, is not ours, or refuses what was asked."""


class ServerError(DatabaseError):
    """The embedded PostgreSQL server can't be started, found or stopped."""


class StoreError(DatabaseError):
    """What was to be stored contradicts what the database holds (length, immutability, completeness)."""
