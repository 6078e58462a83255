"""The embedded PostgreSQL server: one per home folder, there as long as somebody uses it."""

from db.embedded.folder import ServerStatus
from db.embedded.server import Server, acquire, status, stop

__all__ = ["Server", "ServerStatus", "acquire", "status", "stop"]
