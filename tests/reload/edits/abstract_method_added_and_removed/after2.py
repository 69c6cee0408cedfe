from abc import ABC, abstractmethod


class Store(ABC):
    def get(self):
        return 0

    def put(self):
        return 0


class Memory(Store):
    pass


class Disk(Store):
    def get(self):
        return 2
