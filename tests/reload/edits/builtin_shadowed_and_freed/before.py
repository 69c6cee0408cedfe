def use(x):
    return sum(x)
