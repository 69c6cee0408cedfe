class Key:
    def __init__(self, k):
        self.k = k
