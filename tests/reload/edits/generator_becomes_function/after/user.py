from rows import letters, numbers


def both():
    return list(numbers()), list(letters()), type(numbers()).__name__, type(letters()).__name__
