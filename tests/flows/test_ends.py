"""A command that is told to end does so at once, with all that it has started, and says one line."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.flows.test_killed import MOMENTS as STATES
from tests.flows.test_killed import Moment, own_processes, wait_until
from tests.processes import has_ended

PROJECT = Path(__file__).resolve().parents[2]
HEAD = """
import os, signal, subprocess, sys, threading, time
from flows.ends import Command, attended
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"


def start(program: str, **variables: str) -> "subprocess.Popen[str]":
    """A program in a session of its own; it prints "ready" when it waits for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: "subprocess.Popen[str]", number: int, group: bool = False) -> tuple[int, str, float]:
    """Its exit code, what it wrote to standard error, and how many seconds its end took."""
    began = time.monotonic()
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=30)
    return process.returncode, error, time.monotonic() - began


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_with_one_line_and_its_exit_code(number, code):
    process = start("with attended(Command('stopped')): print('ready', flush=True); time.sleep(60)")
    assert end(process, number)[:2] == (code, "stopped\n")


def test_children_that_do_not_end_are_killed_with_their_children():
    process = start(f"""
with attended(Command("stopped")):
    stubborn = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE, start_new_session=True)
    stubborn.stdout.readline()
    subprocess.Popen(["sh", "-c", "sleep 61 & sleep 62"])
    time.sleep(0.5)
    print("ready", flush=True)
    time.sleep(60)
""")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    code, error, seconds = end(process, signal.SIGTERM)
    assert (code, error) == (143, "stopped\n")
    assert seconds < 5
    assert all(has_ended(child.pid, 5) for child in children)


def test_a_command_ends_while_a_query_blocks_its_main_thread(database):
    process = start(
        """
import psycopg2
with attended(Command("stopped")):
    cursor = psycopg2.connect(os.environ["DATABASE"]).cursor()
    threading.Timer(0.5, lambda: print("ready", flush=True)).start()
    cursor.execute("select pg_sleep(60)")
""",
        DATABASE=database.replace("+psycopg2", ""),
    )
    code, error, seconds = end(process, signal.SIGINT)
    assert (code, error) == (130, "stopped\n")
    assert seconds < 5


def test_open_things_are_closed_and_errors_meanwhile_are_not_shown(tmp_path):
    process = start(
        """
def work():
    time.sleep(1)
    raise RuntimeError("of a thread")
try:
    with attended(Command("stopped")):
        threading.Thread(target=work).start()
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            open(os.environ["CLOSED"], "w").close()
            raise ValueError("on the way out")
finally:
    time.sleep(5)
""",
        CLOSED=str(tmp_path / "closed"),
    )
    assert end(process, signal.SIGTERM)[:2] == (143, "stopped\n")
    assert (tmp_path / "closed").exists()


@pytest.mark.parametrize("moment", ["gc.callbacks.append(swallow); gc.collect()", "Last().__del__; Last()"])
def test_a_signal_that_a_destructor_swallows_is_raised_again(tmp_path, moment):
    """Python prints what is raised there and goes on: the main thread never closed what it had open."""
    process = start(
        f"""
import gc
def swallow(phase="", info=None):
    gc.callbacks.clear()
    print("ready", flush=True)
    time.sleep(30)
class Last:
    def __del__(self):
        swallow()
with attended(Command("stopped")):
    try:
        {moment}
        time.sleep(60)
    finally:
        open(os.environ["CLOSED"], "w").close()
""",
        CLOSED=str(tmp_path / "closed"),
    )
    assert end(process, signal.SIGTERM)[:2] == (143, "stopped\n")
    assert (tmp_path / "closed").exists()


def test_a_command_with_its_own_last_words_prints_them():
    process = start("""
with attended(Command(patience=5)):
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.3)
        print("the query was cancelled", file=sys.stderr, flush=True)
""")
    assert end(process, signal.SIGINT)[:2] == (130, "the query was cancelled\n")


def test_an_ignored_signal_stays_ignored():
    """As `nohup xray study run …` has it."""
    process = start("""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with attended(Command("stopped")):
    print("ready", flush=True)
    time.sleep(2)
""")
    assert end(process, signal.SIGHUP)[:2] == (0, "")


def test_a_fork_ends_without_its_parent():
    """Figures are drawn in forks, which are told to end when one of them fails."""
    process = start("""
with attended(Command("stopped")):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.3)
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    print("ready", flush=True)
    time.sleep(1)
    sys.exit(-os.waitstatus_to_exitcode(status))
""")
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (signal.SIGTERM, "")


def test_a_watch_can_end_the_command():
    process = start("""
from flows.ends import end
with attended(Command("stopped")):
    threading.Timer(0.3, end, ["Prefect's server is gone"]).start()
    print("ready", flush=True)
    time.sleep(60)
""")
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (1, "error: Prefect's server is gone\n")


MOMENTS = {  # when a study is told to end, in seconds or by what of it is stored, and how
    "servers start": (6, signal.SIGTERM, False),
    "pool starts": (14, signal.SIGINT, True),
    "training": (STATES["training"], signal.SIGHUP, True),
    "analysing": (STATES["analysed"], signal.SIGINT, True),
}


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m == "pool starts" else pytest.mark.slow) for m in MOMENTS]
)
def test_a_study_ends_within_seconds(new_home, tiny_file, moment):
    when, number, group = MOMENTS[moment]
    process = new_home.start(
        "study", "run", tiny_file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    if isinstance(when, Moment):
        wait_until(lambda: when.has_come(new_home.path), 120, process.poll)
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(when)
    if process.poll() is not None:
        process.communicate()
        pytest.skip("the study was done before")
    began = time.monotonic()
    os.killpg(process.pid, number) if group else process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    if output.splitlines()[-1].endswith("report.html"):
        pytest.skip("the study was done before")
    assert process.returncode == 128 + number
    assert output.splitlines()[-1] == "stopped; the next run continues where this one stopped"
    assert "Traceback" not in output
    assert "resource_tracker" not in output
    wait_until(lambda: not own_processes(new_home.path), 10, lambda: own_processes(new_home.path))
    assert time.monotonic() - began < 10  # 5 on a machine that has nothing else to do


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(2, id="tables are made"), pytest.param(9, id="servers start", marks=pytest.mark.slow)],
)
def test_a_platform_that_is_still_starting_ends_within_seconds(new_home, seconds):
    """Nothing is waited for that has nothing to tell yet."""
    process = new_home.start("up", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    words, _ = process.communicate(timeout=60)
    assert words.splitlines()[-1] == "stopped, with all services that had started; xray up starts them again"
    wait_until(lambda: not own_processes(new_home.path), 30, lambda: own_processes(new_home.path))
    assert time.monotonic() - began < 10  # 5 on a machine that has nothing else to do
