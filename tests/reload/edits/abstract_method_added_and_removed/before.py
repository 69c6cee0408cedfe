from abc import ABC, abstractmethod


class Store(ABC):
    @abstractmethod
    def get(self): ...


class Memory(Store):
    def get(self):
        return 1


class Disk(Store):
    def get(self):
        return 2

    def put(self):
        return 3
