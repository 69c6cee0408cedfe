def die():
    from kernel import watch

    return ("die", watch())
