CASE = {
    "title": "the docstring of a property's getter, of a cached_property and of a class changes, nothing else",
    "must": "help() shows the new ones; cached values stay",
}


def check(h):
    m = h.load()
    peer, kind = m.Peer(), m.Peer
    name = peer.name
    h.push()
    assert (
        kind.address.__doc__ == "Where it is, by its own account." and kind.__doc__ == "A peer, near or far."
    )
    assert kind.__dict__["name"].__doc__ == "What it is called, in short." and peer.name is name
