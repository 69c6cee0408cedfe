from kernel import die, stop, watch


def use():
    return die(), watch(), stop()
