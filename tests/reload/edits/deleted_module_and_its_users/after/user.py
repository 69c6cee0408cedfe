def use():
    return "none"
