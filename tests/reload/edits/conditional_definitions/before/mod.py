FAST = False

if FAST:

    def run():
        return "fast"

    class Engine:
        kind = "fast"

else:

    def run():
        return "slow"

    class Engine:
        kind = "slow"
