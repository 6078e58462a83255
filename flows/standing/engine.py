"""What a worker starts for a flow run: Prefect's engine, in a fork of the warm process where there is one, else here.

    python -m flows.standing.engine        with PREFECT__FLOW_RUN_ID, as Prefect's workers set it

A fork is another process than the one that the worker knows. So this one stays beside it: it hands on the signals that it
gets, ends as the fork ends, and when it is killed the fork is too.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final, NoReturn

WARM: Final = "XRAY_WARM"
"""Environment variable that names the folder in which the warm process listens; unset where there is none."""
SOCKET: Final = "warm.socket"
PATIENCE: Final = 10.0
"""Seconds in which the warm process must say that it forks."""
YES: Final = b"+"
LENGTH: Final = struct.Struct("!I")
CODE: Final = struct.Struct("!i")
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> NoReturn:
    """Run the flow run to its end, and end as it does."""
    warm = _ask(Path(os.environ[WARM])) if WARM in os.environ else None
    if warm is None:
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])
    for number in SIGNALS:
        signal.signal(number, lambda number, _: warm.send(bytes([number])))
    answer = receive(warm, CODE.size)
    code = CODE.unpack(answer)[0] if answer else -signal.SIGKILL  # it is gone, and its forks with it
    if code < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def reach(folder: Path, action: str) -> socket.socket:
    """A socket in a folder: "bind" or "connect". By a descriptor of the folder, as socket names are short (108 bytes)."""
    channel = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_PATH)
    try:
        getattr(channel, action)(f"/proc/self/fd/{descriptor}/{SOCKET}")
    except OSError:
        channel.close()
        raise
    finally:
        os.close(descriptor)
    return channel


def _ask(folder: Path) -> socket.socket | None:
    """A connection to the warm process that has said yes, or None.

    It is told where the fork shall run: environment, folder, and our own input and output.
    """
    text = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()
    try:
        warm = reach(folder, "connect")
        warm.settimeout(PATIENCE)
        socket.send_fds(warm, [LENGTH.pack(len(text))], [0, 1, 2])
        warm.sendall(text)
        if receive(warm, len(YES)) != YES:
            return None
    except OSError:
        return None
    warm.settimeout(None)
    return warm


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes; none where the other side is gone."""
    content = b""
    while len(content) < size:
        try:
            part = connection.recv(size - len(content))
        except ConnectionError:
            part = b""
        if not part:
            return b""
        content += part
    return content


if __name__ == "__main__":
    main()
