class parser:
    def __init__(self, text):
        self.words = text.split()
