CASE = {
    "title": "the modules of a supervisor's child and of the supervisor change: the restart uses both",
    "must": "the running child is not touched; after its end it is started by the new start function",
}


def check(h):
    from runtime.kernel import call, exit, run, whereis, yield_

    tree = h.load("tree")

    def main():
        tree.Tree.start_link()
        worker = whereis("the_worker")
        before = call(worker, "x")
        h.push()
        after = call(worker, "x")
        same = whereis("the_worker") is worker
        exit(worker, "kill")
        while whereis("the_worker") in (None, worker):
            yield_()
        return before, after, same, call("the_worker", "x")

    before, after, same, restarted = run(main)
    assert (before, after, same) == (("old", 1), ("new", 1), True)
    assert restarted == ("new", 20), restarted
