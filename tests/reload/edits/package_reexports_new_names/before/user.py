from kernel import die, watch


def use():
    return die(), watch()
