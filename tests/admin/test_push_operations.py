"""What `tools/push` asks for, against the real code server: what a bundle must fit, orders, two at once, and who may what."""

from __future__ import annotations

import dataclasses
import time

import pytest

from runtime import code
from runtime.admin.live_code import LiveCode
from runtime.admin.operations import Denied, Operations, Request, Who
from runtime.admin.push_command import Difference
from runtime.admin.push_report import Report
from runtime.admin.push_operations import PushOperations, PushSettings
from runtime.code.bundle import Manifest, Order, new_nonce, pack, pack_order, python_version
from runtime.code.bundle import RUNTIME_VERSION as VERSION
from runtime.code.keys import load_private, make_pair
from runtime.kernel import TIMEOUT, is_alive, receive_match, self_, send, spawn
from runtime.otp.gen_server import stop
from runtime.testing import settle, until
from tests.code.served import NEVER, Place, serving

HERE = Who("uid 0 (pid 1)", is_local=True)
THERE = Who("certificate commonName=anna", is_local=False)
SERVER = """
from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Keeper(GenServer):
    def init(self):
        self.kept = 1
"""


class World:
    def __init__(self, place):
        self.place = place
        keys = place.base / "keys"
        self.settings = PushSettings(keys)
        self.settings.prepare()
        self.key = load_private(keys / "development.key")
        self.table = Operations()
        PushOperations(LiveCode(place.log, place.engine.roots), self.settings).add_to(self.table)
        self.events = []

    def ask(self, operation, who=HERE, **arguments):
        self.request = Request(operation, arguments, who, self.events.append)
        return self.table.find(operation).handler(self.request)

    def refused(self, operation, who=HERE, **arguments):
        with pytest.raises(Denied) as caught:
            self.ask(operation, who, **arguments)
        return caught.value

    def difference(self, **texts):
        running = code.current().files
        tree = {
            **{path: self.place.log.sources(code.current())[path] for path in running},
            **{self.place.path(name): text for name, text in texts.items() if text is not None},
        }
        for name, text in texts.items():
            if text is None:
                del tree[self.place.path(name)]
        return Difference(running, tree, None)

    def bundle(self, key=None, **texts):
        return self.difference(**texts).bundle(code.current().id, "anna", "", key or self.key)

    def crafted(self, texts, deleted=(), **more):
        """A bundle that `tools/push` would not make."""
        made = Difference(code.current().files, {**self.sources(), **texts}, None)
        values = {
            "base": code.current().id, "release": made.release, "files": made.files, "deleted": tuple(deleted),
            "requires": {"python": python_version(), "runtime": VERSION}, "time": time.time(), "nonce": new_nonce(),
        }  # fmt: skip
        return pack(Manifest(**{**values, **more}), texts, self.key)

    def sources(self):
        return self.place.log.sources(code.current())

    def order(self, wish, release="", key=None, **more):
        values = {"base": code.current().id, "time": time.time(), "nonce": new_nonce()} | more
        return pack_order(Order(order=wish, release=release, **values), key or self.key)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.open()
    yield made
    made.close()


def test_a_bundle_goes_live_with_its_stages(place):
    module = place.load(rest="x = 1\n", m="def f(): return 1\n")
    with serving(place):
        world = World(place)
        release = world.ask("push", bundle=world.bundle(m="def f(): return 2\n"))
        assert module.f() == 2
        assert release["result"] == "probation"
        assert release["by"] == "anna (key development), uid 0 (pid 1)"
        assert world.events[0] == {"stage": "checked", "files": 1, "key": "development"}
        assert "live" in [event["stage"] for event in world.events]
        assert world.request.what == f"{release['id']} (#2) by the key development"
        assert world.ask("status")["probation"]["release"] == release["id"]
        assert world.ask("confirm")["result"] == "good"
        assert world.ask("status")["probation"] == {}
        assert world.ask("follow", number=2)["why"] == "confirmed"
        assert world.ask("show", release="#2")["changed"] == {place.path("m"): "changed"}


def test_what_a_report_tells_besides_reaches_who_pushes_and_who_looks_later(place, capsys):
    """As a child that a supervisor now has does, and whatever was not run again."""
    table = "class Table:\n    def __init__(self, size):\n        self.size = size\n\n\n"
    place.load(m=f"SIZE = 1\n{table}KEPT = Table(SIZE)\n")
    with serving(place):
        world = World(place)
        release = world.ask("push", bundle=world.bundle(m=f"SIZE = 2\n{table}KEPT = Table(SIZE)\n"))
        (note,) = release["notes"]
        assert note.startswith(f"not run again: {place.package}.m.KEPT (line ")
        assert world.ask("show", release="#2")["notes"] == [note]
        Report(as_json=False).live(release)
        assert note in capsys.readouterr().out


def test_the_progress_of_a_probation_says_counts_times_and_shares_each_as_people_do(place, capsys):
    place.load(m="x = 1\n")
    with serving(place, dataclasses.replace(NEVER, max_crashes=3, max_lag=0.05, max_busy=0.125)):
        world = World(place)
        release = world.ask("push", bundle=world.bundle(m="x = 2\n"))
        event = {"stage": "probation", **world.ask("status")["probation"]}
        assert event["watched"]["busy"]["limit"] == 0.125
        event["watched"]["busy"]["now"] = 0.078  # what cannot be waited for: that a sample meets changed code
        event["watched"]["lag"]["now"] = 0.0021
        Report(as_json=False).event(event)
        said = capsys.readouterr().out
        assert said.startswith("probation")
        assert f"s left; else back to {release['base']}: crash 0 of 3" in said
        assert "lag 2.1 ms of 50.0 ms" in said
        assert "busy 8% of 12%" in said
        assert "error" not in said  # a limit of 0: not watched
        world.ask("confirm")
        Report(as_json=False).event({"stage": "probation", **world.ask("status")["probation"]})
        assert capsys.readouterr().out.split(maxsplit=1)[1].strip() == "its time is up"


def test_the_plan_counts_processes_and_touches_nothing(place):
    module = place.load(m=SERVER)
    with serving(place):
        world = World(place)
        servers = [module.Keeper.start_link() for _ in range(30)]
        new = SERVER.replace("__vsn__ = 1", "__vsn__ = 2") + "\n    def more(self): pass\n"
        plan = world.ask("plan", bundle=world.bundle(m=new, other="x = 1\n"))
        assert world.events == [{"stage": "checked", "files": 2, "key": "development"}]
        name = f"{place.package}.m"
        assert plan["migrates"] == {name: 30}
        assert plan["vsn_changes"] == {name: [1, 2]}
        assert plan["modules"] == [name]
        assert plan["resting"] == [place.path("other")]
        assert [name, "member", "Keeper.more", 11] in plan["changes"]
        assert not hasattr(module.Keeper, "more")
        assert code.current().number == 1
        for server in servers:
            stop(server)


def test_what_a_bundle_must_fit(place):
    place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        m, wrong = place.path("m"), "0" * 12
        for kind, bundle, words in (
            ("path", world.crafted({"runtime/kernel/spawn.py": "x = 1\n"}), "is not managed on this node"),
            ("path", world.crafted({f"{place.package}/no-name.py": ""}), "is not managed on this node"),
            ("path", world.crafted({m: "x = 2\n"}, [place.path("gone")]), "has no such file"),
            ("hash", world.crafted({m: "x = 2\n"}, release=wrong), "does not lead to the release"),
            ("base", world.crafted({m: "x = 2\n"}, base=wrong), "which this node does not know"),
            (
                "requires",
                world.crafted({m: "x = 2\n"}, requires={"python": "2.7", "runtime": VERSION}),
                "2.7",
            ),
        ):
            for operation in ("push", "plan"):
                denied = world.refused(operation, bundle=bundle)
                assert (denied.kind, words in str(denied)) == (kind, True), denied
        assert len(code.releases()) == 1


def test_a_refusal_of_the_code_server_keeps_its_kind_and_place(place):
    place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        denied = world.refused("push", bundle=world.bundle(m="x = (\n"))
        assert (denied.kind, denied.more["line"]) == ("syntax", 1)
        assert "^" in str(denied)
        assert code.current().number == 1


def test_two_at_once_on_the_same_base(place):
    module = place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        bundles = [world.bundle(m=f"x = {n}\n") for n in (2, 3)]
        me = self_()

        def push(bundle):
            try:
                result = world.ask("push", bundle=bundle)["id"]
            except Denied as denied:
                result = denied.kind
            send(me, ("done", result))

        for bundle in bundles:
            spawn(push, bundle)
        results = [receive_match(lambda m: m is not TIMEOUT and m[0] == "done", timeout=20)[1] for _ in "ab"]
        assert "base" in results
        (won,) = [result for result in results if result != "base"]
        assert code.current().id == won
        assert module.x in (2, 3)
        assert [one.result for one in code.releases()].count("refused") == 0


def test_the_same_bundle_twice_at_once_goes_once(place):
    place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        bundle = world.bundle(m="x = 2\n")
        me = self_()

        def push():
            try:
                send(me, ("done", world.ask("push", bundle=bundle)["result"]))
            except Denied as denied:
                send(me, ("done", denied.kind))

        for _ in range(5):
            spawn(push)
        results = [receive_match(lambda m: m[0] == "done", timeout=20)[1] for _ in range(5)]
        assert set(results) <= {"probation", "replay", "base"}
        assert results.count("probation") == 1
        assert len(code.releases()) == 2


def test_a_bundle_that_was_used_is_used_up_even_where_its_base_runs_again(place):
    module = place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        bundle = world.bundle(m="x = 2\n")
        world.ask("push", bundle=bundle)
        world.ask("rollback")
        assert world.refused("push", bundle=bundle).kind == "replay"
        assert module.x == 1
        # What was only planned is not used up; what was refused is.
        bundle = world.bundle(m="x = (\n")
        assert world.refused("plan", bundle=bundle).kind == "syntax"
        assert world.refused("push", bundle=bundle).kind == "syntax"
        assert world.refused("push", bundle=bundle).kind == "replay"


def test_orders_from_another_machine(place):
    module = place.load(m="x = 1\n")
    with serving(place, NEVER):
        world = World(place)
        world.ask("push", bundle=world.bundle(m="x = 2\n"))
        first = code.releases()[0]
        stager = make_pair(place.base / "others", "stager", ["stage"])
        old = world.order("confirm", base="0" * 12)
        for kind, order in (
            ("signature", None),
            ("key", world.order("rollback", first.id, key=stager)),
            ("signature", world.order("confirm", first.id)),
            ("signature", world.order("rollback")),
            ("time", world.order("rollback", first.id, time=time.time() - 100_000)),
            ("base", world.order("rollback", first.id, base=first.id)),
            ("format", b"nonsense"),
        ):
            assert world.refused("rollback", THERE, release=first.id, order=order).kind == kind
        assert world.refused("confirm", THERE, order=old).kind == "base"
        assert module.x == 2
        order = world.order("rollback", first.id)
        assert world.ask("rollback", THERE, release=first.id, order=order)["id"] == first.id
        assert module.x == 1
        assert "key development, certificate" in code.current().by
        world.ask("push", bundle=world.bundle(m="x = 2\n"), force=True)
        assert world.refused("rollback", THERE, release=first.id, order=order).kind == "replay"
        assert module.x == 2
        # On this machine nobody needs one, but whoever shows one is held to it.
        assert world.refused("rollback", HERE, release=first.id, order=order).kind == "replay"
        world.ask("rollback", HERE, release=first.id)
        assert module.x == 1


def test_the_way_back_by_hand(place):
    module = place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        assert world.refused("rollback").kind == "base"
        for n in (2, 3):
            world.ask("push", bundle=world.bundle(m=f"x = {n}\n"))
            world.ask("confirm")
        assert world.ask("rollback")["kind"] == "rollback"
        assert module.x == 2
        assert module.x == 2
        gone = world.refused("rollback", release="#3")
        assert gone.kind == "bad"
        assert "was taken back: rolled back by uid 0 (pid 1)" in str(gone)
        assert "--force" in str(gone)
        forth = world.ask("rollback", release="#3", force=True, note="it was not that")
        assert (forth["number"], forth["result"]) == (5, "probation")
        assert forth["note"].startswith("back to ")
        assert forth["note"].endswith(" (#3): it was not that")
        assert module.x == 3
        world.ask("confirm")
        assert world.refused("rollback", release="#77").kind == "unknown"
        results = [one["result"] for one in world.ask("releases")]
        assert results == ["good", "good", "rolled_back", "good", "good"]
        assert [one["is_current"] for one in world.ask("releases")] == [False] * 4 + [True]


def test_what_was_taken_back_is_not_pushed_again_unasked(place):
    module = place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        world.ask("push", bundle=world.bundle(m="x = 2\n"))
        world.ask("rollback", note="too slow")
        plan = world.ask("plan", bundle=world.bundle(m="x = 2\n"))
        bad = code.releases()[1]
        assert plan["warning"] == f"this is release {bad} again, which was taken back: {bad.why}"
        assert bad.why.endswith(": too slow")
        refused = world.refused("push", bundle=world.bundle(m="x = 2\n"))
        assert (refused.kind, module.x) == ("bad", 1)
        assert str(refused).startswith(plan["warning"])
        assert [one.number for one in code.releases()] == [1, 2, 3]  # nothing new in the log
        assert world.ask("plan", bundle=world.bundle(m="x = 3\n"))["warning"] == ""
        again = world.ask("push", bundle=world.bundle(m="x = 2\n"), force=True)
        assert (again["id"], again["result"], module.x) == (bad.id, "probation", 2)


def test_one_release_shows_how_its_probation_stands(place):
    place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        world.ask("push", bundle=world.bundle(m="x = 2\n"))
        assert world.ask("show", release="2")["probation"]["watched"]["crash"]["last"] == ""
        assert world.ask("show", release="1")["probation"] == {}


def test_looking(place):
    place.load(m="x = 1\n")
    with serving(place):
        world = World(place)
        status = world.ask("status")
        assert status["running"]["number"] == status["last_good"]["number"] == 1
        assert status["files"] == code.current().files
        assert status["key"] == str(place.base / "keys" / "development.key")
        assert world.ask("status", THERE)["key"] == ""
        own = dataclasses.replace(world.settings, allowed=place.base / "keys" / "development.pub")
        table = Operations()
        PushOperations(LiveCode(place.log, place.engine.roots), own).add_to(table)
        assert table.find("status").handler(Request("status", {}, HERE, print))["key"] == ""
        assert world.ask("texts", release="#1", paths=[place.path("m"), "none.py", 7]) == {
            place.path("m"): "x = 1\n",
            "none.py": None,
        }
        assert world.refused("diff", new="#1").kind == "unknown"
        world.ask("push", bundle=world.bundle(m="x = 2\n"))
        assert world.ask("diff", new="#2")["files"][place.path("m")].endswith("-x = 1\n+x = 2\n")
        name = code.current().files[place.path("m")]
        place.log._blobs.path(name).write_text("damaged")
        assert world.refused("diff", new="#2").kind == "damaged"
        assert world.refused("texts", release="#2", paths=[place.path("m")]).kind == "damaged"


def test_files_come_and_go(place):
    place.load(m="x = 1\n", gone="y = 1\n")
    with serving(place):
        world = World(place)
        world.ask("push", bundle=world.bundle(gone=None, fresh="z = 1\n", m="x = 2\n"))
        assert world.ask("show", release="#2")["changed"] == {
            place.path("fresh"): "added",
            place.path("gone"): "deleted",
            place.path("m"): "changed",
        }
        assert place.path("gone") not in code.current().files


def test_strange_arguments_are_answers_and_no_crashes(place):
    place.load(m="X = 1\n")
    with serving(place):
        world = World(place)
        assert world.ask("texts", release="#1", paths=[["x"], 7, None, "nothing.py"]) == {"nothing.py": None}
        for ref in ("#" + "9" * 5000, "#²", "", -1, 10**18):
            assert world.refused("show", release=ref).kind == "unknown"
        for number in (-1, 99):
            assert world.refused("follow", number=number).kind == "unknown"


def test_who_waits_for_another_push_is_told(place):
    place.load(m="X = 1\n")
    with serving(place):
        world = World(place)
        me = self_()

        def first():
            code.push(place.sources(m="X = 2\n"), progress=lambda stage, **_: _held(stage, me))

        worker = spawn(first)
        held = receive_match(lambda m: isinstance(m, tuple) and m[0] == "held", 10.0)[1]
        asking = spawn(lambda: (world.ask("plan", bundle=world.bundle(m="X = 3\n")), send(me, "planned")))
        until(lambda: {"stage": "waiting", "behind": ["push"]} in world.events)
        send(held, "go on")
        until(lambda: not is_alive(worker) and not is_alive(asking))


def _held(stage, me):
    if stage == "apply":
        send(me, ("held", self_()))
        receive_match(lambda m: m == "go on", 10.0)


def test_who_follows_hears_now_and_then_that_the_node_is_there(place, clock):
    place.load(m="X = 1\n")
    with serving(place):
        world = World(place)
        release = code.push(place.sources(m="X = 2\n"))
        following = spawn(lambda: world.ask("follow", number=release.number))
        settle()
        for _ in range(3):
            for _ in range(110):
                clock.advance(0.1)
        stages = [event["stage"] for event in world.events]
        assert 3 <= stages.count("probation") <= 5
        code.confirm()
        clock.advance(1)
        until(lambda: not is_alive(following))
