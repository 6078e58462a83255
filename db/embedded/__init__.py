"""The embedded PostgreSQL server: one per home folder, started when needed, gone when its last user is gone."""

from db.embedded.folder import ServerStatus
from db.embedded.server import Server, acquire, status, stop

__all__ = ["Server", "ServerStatus", "acquire", "status", "stop"]
