"""The check aside, with real children: what it lets pass, what it finds, and what it leaves behind (nothing)."""

import contextlib
import os
import resource
import signal
import socket
import textwrap
from pathlib import Path

import pytest

from runtime import kernel
from runtime.code.check import Checker
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from runtime.testing import until

USERS = """
    LIMIT = 3

    def login(name):
        return name.lower()
"""
DELIVERY = """
    from app.users import login

    def deliver(name):
        return login(name)
"""


class Project:
    """Sources that lie nowhere: of the tree on disk there is only the folder."""

    def __init__(self, base):
        self.checker = Checker(Roots(base, ["app"]))
        self.sources = {"app/__init__.py": ""}
        self.edit(users=USERS, delivery=DELIVERY)

    def edit(self, **modules):
        for name, text in modules.items():
            self.sources[f"app/{name}.py"] = None if text is None else textwrap.dedent(text)

    def check(self, changed=("app.users",), modules=None, limit=None, disk=True):
        names = [
            self.checker.roots.module_of(path)
            for path, text in sorted(self.sources.items())
            if text is not None
        ]
        return self.checker.check(self.sources, modules or names, list(changed), limit=limit, disk=disk)

    def refused(self, kind, **options):
        with pytest.raises(Refused) as caught:
            self.check(**options)
        assert caught.value.kind == kind, str(caught.value)
        return caught.value


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def app(base):
    return Project(base)


@pytest.fixture(autouse=True)
def stopped(request, monkeypatch):
    """Every checker that a test makes is stopped within the test's own process, where the leak check looks."""
    made = []
    start = Checker.start
    monkeypatch.setattr(Checker, "start", lambda self: (made.append(self), start(self))[1])
    run = request.function

    def test(**arguments):
        try:
            run(**arguments)
        finally:
            for checker in made:
                checker.stop()

    request.node.obj = test


def children(pid):
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def descriptors(pid):
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that reads the folder
            found.append(str(entry.readlink()))
    return sorted(found)


# What passes


def test_sound_sources_pass_with_the_time_of_each_module(app):
    result = app.check()
    assert set(result.imports) == {"app", "app.users", "app.delivery"}
    assert all(seconds >= 0 for seconds in result.imports.values())
    assert result.selfchecks == {}
    assert result.output == ""


def test_the_staged_text_counts_and_not_what_lies_on_disk(app, base):
    (base / "app").mkdir(exist_ok=True)
    (base / "app" / "users.py").write_text("raise RuntimeError('the file on disk')")
    try:
        app.check()
    finally:
        (base / "app" / "users.py").unlink()


@pytest.mark.parametrize("disk", [True, False])
def test_what_is_not_in_the_sources_is_taken_from_disk_only_in_watch_mode(app, base, disk):
    (base / "app").mkdir(exist_ok=True)
    (base / "app" / "extra.py").write_text("NUMBER = 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(base))
        app.edit(users=USERS + "\n    from app.extra import NUMBER\n")
        if disk:
            app.check()
        else:
            assert "in this release" in app.refused("import", disk=False).reason
    (base / "app" / "extra.py").unlink()


def test_each_check_starts_cold(app):
    app.edit(users="import sys\nassert not hasattr(sys, 'seen')\nsys.seen = True\ndef login(name): ...")
    app.check()
    app.check()


def test_code_of_an_earlier_check_is_used_only_for_the_same_text(app):
    app.check()
    app.edit(users=USERS + "\n    raise RuntimeError('new text')\n")
    assert "new text" in app.refused("import").reason
    app.edit(users=USERS)
    app.check()


def test_a_package_without_an_init_is_found(app):
    app.sources["app/more/deep/names.py"] = "from app.users import LIMIT"
    app.check(modules=["app.more.deep.names"])


def test_selfchecks_of_the_changed_modules_run_and_only_those(app):
    app.edit(
        users=USERS + "\n    def __selfcheck__():\n        assert login('A') == 'a'\n",
        delivery=DELIVERY + "\n    def __selfcheck__():\n        raise AssertionError('not changed')\n",
    )
    assert set(app.check(changed=["app.users"]).selfchecks) == {"app.users"}


def test_a_selfcheck_may_start_processes_and_wait_for_them(app):
    app.edit(
        users="""
        from runtime.kernel import Call, call, reply, receive, spawn

        def server():
            reply(receive(), "pong")

        def __selfcheck__():
            assert call(spawn(server), "ping") == "pong"

        def login(name): ...
        """
    )
    app.check()


def test_what_modules_print_is_told(app):
    app.edit(users=USERS + "\n    print('hello from users')\n")
    assert app.check().output == "hello from users\n"


@pytest.mark.slow
def test_the_chat_passes():
    roots = Roots(Path(__file__).resolve().parents[2], ["apps"])
    sources = {path: roots.path_of(path).read_text() for path in roots.files()}
    modules = [roots.module_of(path) for path in sources if not path.endswith("__main__.py")]
    assert set(Checker(roots).check(sources, modules, modules).imports) == set(modules)


# What is found


def test_a_syntax_error_is_told_with_file_line_and_caret(app):
    app.edit(users="def login(name):\n    if name\n        return 1\n")
    refused = app.refused("syntax")
    assert (refused.module, refused.path, refused.line) == ("app.users", "app/users.py", 2)
    assert str(refused) == "app/users.py:2: SyntaxError: expected ':'\n    if name\n           ^"


def test_a_missing_import_is_told(app):
    app.edit(users="import no_such_package\n")
    refused = app.refused("import")
    assert (refused.path, refused.line) == ("app/users.py", 1)
    assert "No module named 'no_such_package'" in refused.reason


def test_an_unknown_name_at_top_level_is_told_with_its_line(app):
    app.edit(users="def login(name): ...\n\nTABLE = {1: MISSING}\n")
    refused = app.refused("import")
    assert (refused.module, refused.line) == ("app.users", 3)
    assert "NameError" in refused.reason
    assert "TABLE = {1: MISSING}" in refused.excerpt


def test_a_name_deleted_that_an_unchanged_module_imports_is_told_there(app):
    app.check()
    app.edit(users="def log_in(name):\n    return name\n")
    refused = app.refused("import")
    assert (refused.module, refused.line) == ("app.delivery", 2)
    assert "login" in refused.reason
    assert "app.users" in refused.reason


def test_a_deleted_module_that_is_still_imported_is_told(app, base):
    (base / "app").mkdir(exist_ok=True)
    (base / "app" / "users.py").write_text("def login(name): ...")  # it may still lie there
    app.edit(users=None)
    refused = app.refused("import")
    (base / "app" / "users.py").unlink()
    assert (refused.module, refused.line) == ("app.delivery", 2)
    assert "app.users" in refused.reason


def test_a_cycle_that_only_fails_cold_is_told_with_the_way_round(app):
    app.edit(users="from app.delivery import deliver\n\ndef login(name): ...\n")
    refused = app.refused("import")
    assert "circular import" in refused.reason
    assert "app/users.py" in refused.excerpt
    assert "app/delivery.py" in refused.excerpt


def test_a_failing_selfcheck_is_told_with_its_line(app):
    app.edit(users=USERS + "\n    def __selfcheck__():\n        assert LIMIT > 3, 'the limit is too low'\n")
    refused = app.refused("selfcheck")
    assert (refused.path, refused.line) == ("app/users.py", 8)
    assert "the limit is too low" in refused.reason


def test_a_selfcheck_that_never_ends_is_told(app):
    app.edit(
        users="from runtime.kernel import sleep\ndef login(name): ...\ndef __selfcheck__():\n    sleep(60)\n"
    )
    refused = app.refused("selfcheck", limit=0.3)
    assert (refused.module, refused.line) == ("app.users", 4)
    assert "within 0.3 s" in refused.reason


def test_a_selfcheck_that_waits_for_nothing_is_told_at_once(app):
    app.edit(
        users="from runtime.kernel import receive\ndef login(name): ...\ndef __selfcheck__():\n    receive()\n"
    )
    assert "Deadlock" in app.refused("selfcheck").reason


def test_the_end_of_the_program_at_top_level_is_told(app):
    app.edit(users="import sys\nsys.exit(3)\n")
    refused = app.refused("import")
    assert (refused.module, refused.line) == ("app.users", 2)
    assert "ends the program" in refused.reason


def test_a_hard_end_at_top_level_is_told(app):
    app.edit(users="import os\nos._exit(3)\n")
    refused = app.refused("import")
    assert refused.path == "app/users.py"
    assert "status 3" in refused.reason


def test_a_hard_end_after_imports_is_told_of_the_module_that_did_it(app):
    app.edit(
        users="import os\nfrom app import outbox\nos._exit(3)\n",
        outbox="from app import frames\n",
        frames="A = 1\n",
    )
    refused = app.refused("import")
    assert (refused.module, refused.path) == ("app.users", "app/users.py")
    app.edit(
        users="import os\ntry:\n    from app import bad\nexcept ValueError:\n    os._exit(3)\n",
        bad="raise ValueError\n",
    )
    assert app.refused("import", modules=["app.users"]).path == "app/users.py"


def test_a_crash_of_the_interpreter_is_told(app):
    app.edit(users="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    refused = app.refused("import")
    assert refused.path == "app/users.py"
    assert "SIGSEGV" in refused.reason


def test_an_endless_loop_at_top_level_is_told_with_its_line(app):
    app.edit(users="try:\n    while True:\n        pass\nexcept BaseException:\n    pass\n")
    refused = app.refused("blocking", limit=0.3)
    assert refused.path == "app/users.py"
    assert refused.line in (2, 3)


def test_one_that_takes_no_signal_is_ended_too(app):
    app.edit(
        users="import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass\n"
    )
    refused = app.refused("blocking", limit=0.2)
    assert refused.module == "app.users"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("import time; time.sleep(60)", "sleeps"),
        ("from time import sleep; sleep(60)", "sleeps"),
        ("import gevent; gevent.sleep(60)", "waits"),
        ("from runtime.kernel import sleep; sleep(60)", "waits"),
        ("import threading; threading.Thread(target=print).start()", "thread"),
        ("from concurrent.futures import ThreadPoolExecutor as T; T().submit(print)", "thread"),
        ("import socket; socket.socket().connect(('127.0.0.1', 9))", "connection"),
        ("import socket; socket.getaddrinfo('localhost', 9)", "looks up"),
        ("import subprocess; subprocess.run(['true'])", "program"),
        ("import os; os.fork()", "forks"),
    ],
)
def test_a_top_level_that_would_hold_up_the_node_is_told(app, statement, what):
    app.edit(users=f"try:\n    {statement}\nexcept ValueError:\n    pass\n")
    with pytest.raises(Refused) as caught:
        app.check(limit=2)
    assert (caught.value.path, caught.value.line) == ("app/users.py", 2)
    assert what in caught.value.reason
    assert caught.value.kind == "blocking"


def test_a_function_called_from_the_top_level_counts_as_the_top_level(app):
    app.edit(users="import time\ndef wait():\n    time.sleep(60)\nwait()\n")
    refused = app.refused("blocking")
    assert refused.line == 3
    assert "wait()" in refused.excerpt


def test_reading_from_standard_input_is_told_as_an_error(app):
    app.edit(users="input('name? ')\n")
    assert "EOFError" in app.refused("import").reason


def test_too_much_memory_is_told(base):
    app = Project(base)
    app.checker.memory = 64 << 20
    app.edit(users="TABLE = [0] * (1 << 25)\n")
    refused = app.refused("import")
    assert (refused.module, refused.line) == ("app.users", 1)
    assert "MemoryError" in refused.reason


def test_output_without_end_is_cut_and_ended(app):
    app.edit(users="print('first words')\nline = 'x' * (1 << 20)\nfor _ in range(1024): print(line)\n")
    refused = app.refused("import")
    assert refused.module == "app.users"
    assert "prints without end" in refused.reason
    assert "first words" in refused.excerpt
    assert len(str(refused)) < 4000


def test_an_exception_that_cannot_be_shown_is_told(app):
    app.edit(
        users="class Odd(Exception):\n    def __str__(self):\n        raise KeyboardInterrupt\nraise Odd\n"
    )
    refused = app.refused("import")
    assert refused.path == "app/users.py"
    assert "Odd" in refused.reason


# The child


def test_child_and_check_have_nothing_of_the_nodes(app, tmp_path):
    app.edit(
        users="""
        import os

        def login(name): ...

        def __selfcheck__():
            for entry in os.listdir("/proc/self/fd"):
                if os.path.exists(f"/proc/self/fd/{entry}"):
                    print(os.readlink(f"/proc/self/fd/{entry}"))
        """
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(listener.fileno(), True)
        os.set_inheritable(lock.fileno(), True)
        in_check = app.check().output.splitlines()
        in_child = descriptors(app.checker.child())
    assert not [d for d in in_check if d.startswith("socket:")]  # nor the child's own
    assert len([d for d in in_child if d.startswith("socket:")]) == 1
    assert str(tmp_path / "lock") not in in_check + in_child


def test_a_check_that_starts_a_daemon_leaves_none(app, tmp_path):
    pid_file = tmp_path / "pid"
    app.edit(
        users=f"""
        def login(name): ...

        def __selfcheck__():
            import subprocess
            child = subprocess.Popen(["sleep", "300"])
            open({str(pid_file)!r}, "w").write(str(child.pid))
        """
    )
    app.check()
    pid = int(pid_file.read_text())
    until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_a_killed_child_is_replaced(app):
    app.check()
    first = app.checker.child()
    os.kill(first, signal.SIGKILL)
    app.check()
    assert app.checker.child() not in (None, first)


def test_a_child_killed_at_work_is_replaced_and_the_check_done(app, tmp_path):
    mark = tmp_path / "was here"
    app.edit(
        users=f"""
        import os, signal
        from pathlib import Path

        def login(name): ...

        def __selfcheck__():
            mark = Path({str(mark)!r})
            if not mark.exists():
                mark.touch()
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()
        """
    )
    app.check()
    assert mark.exists()


def test_a_check_that_kills_every_child_is_refused_as_not_done(app):
    app.edit(users="import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n")
    refused = app.refused("check")
    assert "SIGKILL" in refused.reason
    assert "check=False" in refused.hint
    app.edit(users=USERS)
    app.check()


def test_a_child_that_does_not_answer_is_given_up(app):
    app.check()
    os.kill(app.checker.child(), signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.code.check_port._GRACE", 0.2)
        app.check(limit=0.3)


def test_a_child_that_cannot_start_is_refused_as_not_done(app):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", "/bin/false")
        assert "status 1" in app.refused("check").reason
    app.check()


def test_want_of_descriptors_refuses_the_check_and_ends_nobody(app):
    """The code server is linked to the port: it must not end because a child could not be started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        refused = app.refused("check")
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "could not be started ([Errno 24]" in refused.reason
    app.check()


def test_the_child_goes_when_the_process_that_started_it_is_killed(app):
    started = []

    def owner():
        app.check()
        started.append(app.checker.child())
        kernel.receive()

    pid = kernel.spawn(owner)
    child = until(lambda: started and started[0])
    kernel.exit(pid, kernel.KILL)
    until(lambda: not Path(f"/proc/{child}").exists())
    app.checker.stop()


def test_the_child_goes_when_its_port_is_killed(app):
    kernel.trap_exit(True)
    app.check()
    child, port = app.checker.child(), app.checker._port
    kernel.exit(port, kernel.KILL)
    assert isinstance(kernel.receive(timeout=5), kernel.Exit)
    until(lambda: not Path(f"/proc/{child}").exists())
    app.check()


def test_checks_of_several_callers_wait_for_each_other(app):
    done = []

    def caller(number):
        app.check()
        done.append(number)

    app.checker.start()
    for number in range(5):
        kernel.spawn(caller, number)
    until(lambda: len(done) == 5)


def test_messages_may_be_checked(app):
    kernel.check_messages(True)
    try:
        app.check()
        app.edit(users="x x")
        app.refused("syntax")
    finally:
        kernel.check_messages(False)


def test_the_node_goes_on_while_a_check_runs(app):
    app.check()
    app.edit(users="while True: pass\n")
    ticks = []

    def ticker():
        while True:
            ticks.append(None)
            kernel.sleep(0.01)

    pid = kernel.spawn(ticker)
    app.refused("blocking", limit=0.5)
    kernel.exit(pid, kernel.KILL)
    assert len(ticks) > 10


def test_many_checks_leave_no_process_and_no_descriptor(app):
    app.check()
    app.check()
    child = app.checker.child()
    before = descriptors(os.getpid()), descriptors(child)
    for number in range(30):
        app.edit(
            users=USERS + f"\n    NUMBER = {number}\n" + ("    raise ValueError\n" if number % 3 else "")
        )
        if number % 3:
            app.refused("import")
        else:
            app.check()
    assert app.checker.child() == child
    assert children(child) == []
    assert (descriptors(os.getpid()), descriptors(child)) == before


def test_stop_leaves_no_process(app):
    before = children(os.getpid())
    app.check()
    child = app.checker.child()
    assert child in children(os.getpid())
    app.checker.stop()
    app.checker.stop()
    assert children(os.getpid()) == before
