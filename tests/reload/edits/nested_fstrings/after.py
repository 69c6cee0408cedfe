WIDTH = 3
HEAD = f"{'=' * WIDTH}"


def row(items):
    return f"[{'|'.join(f'{x:>{WIDTH}}' for x in items)}]"
