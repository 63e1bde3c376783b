"""A run folder has one owner at a time: in one process or several, until it ends, however it ends."""

import errno
import json
import os
import platform
import re
import threading
from contextlib import suppress
from pathlib import Path

import filelock
import pytest

from softprompt.config import parse_run
from softprompt.errors import TrainingError
from softprompt.training.distributed import Processes
from softprompt.training.run_folder import RunFolder, locks
from softprompt.training.run_folder.locks import acquire, locked, owned
from support.processes import running

HOLDER = """
import sys
from pathlib import Path
from softprompt.training.run_folder.locks import owned
with owned(Path(sys.argv[1])):
    channel.send("held")
    channel.recv()
"""

RACER = """
from pathlib import Path
from softprompt.errors import TrainingError
from softprompt.training.run_folder.locks import owned
while True:
    folder = Path(channel.recv())
    try:
        with owned(folder):
            channel.send("won")
            channel.recv()
    except TrainingError:
        channel.send("refused")
        channel.recv()
    channel.send("left")
"""


def settings(tmp_path):
    given = {"name": "one", "output": str(tmp_path), "data": {"format": "e2e"}, "training": {"steps": 1}}
    return parse_run(given)


@pytest.fixture
def processes():
    return Processes("cpu")


def test_of_two_threads_exactly_one_wins(tmp_path, processes):
    won, refused = [], []
    for i in range(50):
        asked = settings(tmp_path / str(i))
        start, over = threading.Barrier(2), threading.Barrier(2)

        def race(asked=asked, start=start, over=over, i=i):
            start.wait()
            try:
                with acquire(asked, False, processes):
                    won.append(i)
                    over.wait()
            except TrainingError as error:
                refused.append(str(error))
                over.wait()

        threads = [threading.Thread(target=race) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert won == list(range(50)) and len(refused) == 50
    assert all("got a folder in which " in text and text.endswith("another name.") for text in refused)


def test_of_two_processes_exactly_one_wins(tmp_path):
    with running(RACER) as one, running(RACER) as other:
        channels = [one.channel, other.channel]
        for i in range(50):
            for channel in channels:
                channel.send(str(tmp_path / str(i) / "one"))
            assert sorted(channel.recv() for channel in channels) == ["refused", "won"]
            for channel in channels:
                channel.send("go")
            assert [channel.recv() for channel in channels] == ["left", "left"]


def test_the_refusal_says_whose_the_folder_is_and_a_kill_frees_it(tmp_path, processes):
    asked = settings(tmp_path)
    RunFolder(asked.folder).begin(asked, asked, resume=False)
    with running(HOLDER, asked.folder) as holder:
        assert holder.channel.recv() == "held"
        for resume in (False, True):
            with pytest.raises(TrainingError) as caught, acquire(asked, resume, processes):
                pass
            assert str(caught.value) == (
                f"{asked.folder}: got a folder in which process {holder.process.pid} on {platform.node()} is "
                "training, expected one run in a folder at a time. "
                "Wait until that run has ended, stop it, or choose another name."
            )
    # The end of the context has killed the holder.
    with acquire(asked, True, processes) as (folder, ended):
        assert folder.path == asked.folder and ended is None


def test_within_a_process_too_and_by_any_name_of_the_folder(tmp_path, processes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with acquire(settings(tmp_path), False, processes):
        for output in (tmp_path, "link", Path(), tmp_path / "link" / ".." / tmp_path.name):
            with pytest.raises(TrainingError, match=rf"another run of this process \({os.getpid()}\)"):
                acquire(settings(output), False, processes).__enter__()
        with acquire(settings(tmp_path / "other"), False, processes):
            pass


def test_errors_and_interrupts_free_the_folder(tmp_path, processes):
    for error in (ValueError, KeyboardInterrupt):
        with suppress(error), acquire(settings(tmp_path), False, processes):
            raise error
    with acquire(settings(tmp_path), False, processes) as (folder, _):
        assert not folder.path.exists(), "nothing is made before a run begins"


def test_the_folder_itself_holds_no_lock(tmp_path, processes):
    asked = settings(tmp_path)
    with acquire(asked, False, processes) as (folder, _):
        folder.begin(asked, asked, resume=False)
        assert sorted(path.name for path in asked.folder.iterdir()) == ["asked.yaml", "settings.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", "one"]


def test_a_finished_run_is_given_again_while_somebody_holds_it(tmp_path, processes):
    asked = settings(tmp_path)
    folder = RunFolder(asked.folder)
    folder.begin(asked, asked, resume=False)
    facts = {"name": "one", "steps": 1, "best": {}, "scores": [], "counts": {}}
    folder.result.write_text(json.dumps(facts), encoding="utf-8")
    with owned(asked.folder), acquire(asked, True, processes) as (_, ended):
        assert ended == facts


def test_only_the_main_process_owns(tmp_path):
    class Second:
        is_main = False

        def wait(self):
            pass

    with owned(tmp_path / "one"), acquire(settings(tmp_path), False, Second()) as (folder, ended):
        assert folder.path == tmp_path / "one" and ended is None


def test_who_holds_it_need_not_be_known(tmp_path):
    with owned(tmp_path / "one"):
        (tmp_path / ".locks" / "one.owner").write_text("[", encoding="utf-8")
        with pytest.raises(TrainingError, match="a folder in which another process is training"):
            owned(tmp_path / "one").__enter__()


@pytest.mark.skipif(os.name == "nt", reason="Windows locks in another way")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_the_run_goes_on(tmp_path, monkeypatch, code):
    import fcntl

    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    expected = (
        f"{tmp_path / 'one'}: got a file system that has no locks, expected one that has, so that a second "
        "process is kept out. Start one process at a time for this folder."
    )
    first, second = locked(tmp_path / "one", "run"), locked(tmp_path / "one", "run")
    for one in (first, second):
        with pytest.warns(UserWarning, match="no locks") as said:
            one.__enter__()
        assert [str(warning.message) for warning in said] == [expected]
    for one in (second, first):
        one.__exit__(None, None, None)


@pytest.mark.parametrize("soft", [False, True])
def test_older_versions_of_filelock_say_it_in_their_own_ways(tmp_path, monkeypatch, soft):
    class Old(filelock.SoftFileLock if soft else filelock.FileLock):
        def __init__(self, path, timeout=-1, thread_local=True):
            super().__init__(path, timeout=timeout, thread_local=thread_local)

        def acquire(self):
            if not soft:
                raise NotImplementedError("FileSystem does not appear to support flock")
            return super().acquire()

    monkeypatch.setattr(locks, "FileLock", Old)
    with pytest.warns(UserWarning, match="one: got a file system that has no locks"), owned(tmp_path / "one"):
        # No file marks the folder as taken, which a killed process would leave behind.
        assert not (tmp_path / ".locks" / "one.run").exists()


def test_what_is_no_lack_of_locks_is_an_error(tmp_path, monkeypatch):
    def acquire(self):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(locks.FileLock, "acquire", acquire)
    with pytest.raises(TrainingError, match=re.escape("got read-only file system, expected a folder that")):
        owned(tmp_path / "one").__enter__()
