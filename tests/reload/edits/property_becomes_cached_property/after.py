from functools import cached_property


class Report:
    def __init__(self, rows):
        self.rows = rows
        self.made = 0

    @cached_property
    def total(self):
        self.made += 1
        return sum(self.rows) * 10

    @property
    def longest(self):
        return max(self.rows) * 10
