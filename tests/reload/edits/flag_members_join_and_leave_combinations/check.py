CASE = {
    "title": "a flag joins after combinations and inversions were made, and leaves again",
    "must": "what is combined and inverted has the flags that there are now; combinations that stay are the same objects",
}


def check(h):
    m = h.load()
    May, Bits = m.May, m.Bits
    both = May.READ | May.WRITE
    assert (
        ~May.READ is May.WRITE
        and ~both == May(0)
        and repr(Bits(7)) == "<Bits.A|B|4: 7>"
        and ~Bits.A is Bits.B
    )
    h.push()
    assert ~May.READ == May.WRITE | May.DELETE and ~both is May.DELETE and May(3) is both
    assert repr(Bits(7)) == "<Bits.A|B|C: 7>" and ~Bits.A == Bits.B | Bits.C
    three, all_three = both | May.DELETE, m.Fits(7)
    h.rollback()
    assert m.Fits(7) is m.Fits(3) is not all_three
    assert (
        ~May.READ is May.WRITE and ~both == May(0) and May(3) is both and repr(Bits(7)) == "<Bits.A|B|4: 7>"
    )
    try:
        May(three.value)
    except ValueError:
        return
    raise AssertionError("a combination with the flag that is gone is still known")
