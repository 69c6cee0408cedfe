from things import Thing


def work():
    return Thing(4).double()
