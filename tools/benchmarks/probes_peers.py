"""The same things done with gevent, asyncio, trio and Pykka, each in its usual style. A Python of its own for each."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from tools.benchmarks.proc import resident
from tools.benchmarks.probe import median_of

__all__ = [
    "asyncio_call", "asyncio_memory", "asyncio_ping_pong", "asyncio_spawns", "gevent_call", "gevent_cast",
    "gevent_crashes", "gevent_hub", "gevent_memory", "gevent_ping_pong", "gevent_ring", "gevent_spawns", "pykka_call",
    "pykka_ping_pong", "trio_ping_pong",
]  # fmt: skip


# gevent: a Greenlet and a Queue for each actor


def gevent_ping_pong(count: int) -> dict[str, float]:
    import gevent
    from gevent.queue import Queue

    def measure() -> float:
        a: Any = Queue()
        b: Any = Queue()

        def pong() -> None:
            for _ in range(count):
                b.get()
                a.put(1)

        other = gevent.spawn(pong)
        start = time.perf_counter()
        for _ in range(count):
            b.put(1)
            a.get()
        used = time.perf_counter() - start
        other.join()
        return used / count * 1e6

    return {"us": gevent.spawn(median_of, measure).get()}


def gevent_ring(size: int, hops: int) -> dict[str, float]:
    import gevent
    from gevent.queue import Queue

    def measure() -> float:
        boxes: list[Any] = [Queue() for _ in range(size)]
        done: Any = Queue()

        def node(index: int) -> None:
            box, after = boxes[index], boxes[(index + 1) % size]
            while True:
                left = box.get()
                if left:
                    after.put(left - 1)
                else:
                    done.put(1)

        nodes = [gevent.spawn(node, n) for n in range(size)]
        gevent.sleep(0)
        start = time.perf_counter()
        boxes[0].put(hops)
        done.get()
        used = time.perf_counter() - start
        gevent.killall(nodes)
        return used / hops * 1e6

    return {"us": gevent.spawn(median_of, measure).get()}


def gevent_call(count: int) -> dict[str, float]:
    import gevent
    from gevent.event import AsyncResult
    from gevent.queue import Queue

    box: Any = Queue()

    def server() -> None:
        n = 0
        while True:
            _request, answer = box.get()
            n += 1
            answer.set(n)

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(count):
            answer: Any = AsyncResult()
            box.put((None, answer))
            answer.get(timeout=5.0)
        return (time.perf_counter() - start) / count * 1e6

    gevent.spawn(server)
    return {"us": gevent.spawn(median_of, measure).get()}


def gevent_cast(count: int) -> dict[str, float]:
    import gevent
    from gevent.queue import Queue

    box: Any = Queue()
    done: Any = Queue()

    def server() -> None:
        n = 0
        while True:
            n += 1
            if box.get():
                done.put(n)

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(count // 1000):
            for _ in range(999):
                box.put(None)
            box.put(True)
            done.get()
        return (time.perf_counter() - start) / (count // 1000 * 1000) * 1e6

    gevent.spawn(server)
    return {"us": gevent.spawn(median_of, measure).get()}


def gevent_spawns(count: int, batch: int = 1000) -> dict[str, float]:
    import gevent
    from gevent.queue import Queue

    def measure() -> float:
        def once(box: Any) -> None:
            box.get()

        start = time.perf_counter()
        for _ in range(count // batch):
            made = []
            for _ in range(batch):
                box: Any = Queue()
                made.append(gevent.spawn(once, box))
                box.put(1)
            gevent.joinall(made)
        return (time.perf_counter() - start) / (count // batch * batch) * 1e6

    return {"us": gevent.spawn(median_of, measure).get()}


def gevent_memory(count: int) -> dict[str, float]:
    import gevent
    from gevent.queue import Queue

    def actor(box: Any) -> None:
        n = 0
        while True:
            box.get()
            n += 1

    def make(number: int) -> list[Any]:
        boxes: list[Any] = [Queue() for _ in range(number)]
        made = [gevent.spawn(actor, box) for box in boxes]
        for box in boxes:
            box.put(1)
        gevent.sleep(0.01)
        while any(box.qsize() for box in boxes):
            gevent.sleep(0.01)
        return [boxes, made]

    def body() -> float:
        first = make(100)
        gc.collect()
        before = resident()
        rest = make(count)
        gc.collect()
        used = (resident() - before) / count
        del first, rest
        return used

    return {"bytes": gevent.spawn(body).get()}


def gevent_hub(count: int) -> dict[str, float]:
    import gevent
    from gevent.event import Event

    def measure() -> float:
        never = Event()
        made = [gevent.spawn(never.wait) for _ in range(count)]
        gevent.sleep(0.01)
        start = time.perf_counter()
        gevent.killall(made)
        return (time.perf_counter() - start) * 1e3

    return {"ms": gevent.spawn(median_of, measure).get()}


def gevent_crashes(batch: int, batches: int) -> dict[str, float]:
    """A greenlet fails, `link_exception` starts the next one."""
    import gevent
    from gevent.event import Event
    from gevent.queue import Queue

    gevent.get_hub().NOT_ERROR = (Exception,)  # no tracebacks on standard error, as little as ours
    up: list[Any] = []
    done = Event()
    wanted = 0

    def child(box: Any) -> None:
        nonlocal wanted
        wanted -= 1
        if not wanted:
            done.set()
        box.get()
        raise ValueError("boom")

    def start(_dead: Any = None) -> None:
        box: Any = Queue()
        up.append(box)
        gevent.spawn(child, box).link_exception(start)

    def body() -> float:
        nonlocal wanted
        samples = []
        wanted = batch
        for _ in range(batch):
            start()
        done.wait()
        for _ in range(batches + 1):
            boxes = up[:]
            up.clear()
            done.clear()
            wanted = batch
            begin = time.perf_counter()
            for box in boxes:
                box.put(1)
            done.wait()
            samples.append((time.perf_counter() - begin) / batch * 1e6)
        return statistics.median(samples[1:])

    return {"us": gevent.spawn(body).get()}


# asyncio: a Task and a Queue


async def _median_of(measure: Callable[[], Any], repeats: int = 3) -> float:
    await measure()
    return statistics.median([await measure() for _ in range(repeats)])


def asyncio_ping_pong(count: int) -> dict[str, float]:
    async def measure() -> float:
        a: Any = asyncio.Queue()
        b: Any = asyncio.Queue()

        async def pong() -> None:
            for _ in range(count):
                await b.get()
                a.put_nowait(1)

        other = asyncio.create_task(pong())
        start = time.perf_counter()
        for _ in range(count):
            b.put_nowait(1)
            await a.get()
        used = time.perf_counter() - start
        await other
        return used / count * 1e6

    return {"us": asyncio.run(_median_of(measure))}


def asyncio_call(count: int) -> dict[str, float]:
    async def body() -> float:
        box: Any = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def server() -> None:
            n = 0
            while True:
                _request, answer = await box.get()
                n += 1
                answer.set_result(n)

        async def measure() -> float:
            start = time.perf_counter()
            for _ in range(count):
                answer = loop.create_future()
                box.put_nowait((None, answer))
                await answer
            return (time.perf_counter() - start) / count * 1e6

        task = asyncio.create_task(server())
        used = await _median_of(measure)
        task.cancel()
        return used

    return {"us": asyncio.run(body())}


def asyncio_spawns(count: int, batch: int = 1000) -> dict[str, float]:
    async def measure() -> float:
        async def once(box: Any) -> None:
            await box.get()

        start = time.perf_counter()
        for _ in range(count // batch):
            made = []
            for _ in range(batch):
                box: Any = asyncio.Queue()
                made.append(asyncio.create_task(once(box)))
                box.put_nowait(1)
            await asyncio.gather(*made)
        return (time.perf_counter() - start) / (count // batch * batch) * 1e6

    return {"us": asyncio.run(_median_of(measure))}


def asyncio_memory(count: int) -> dict[str, float]:
    async def actor(box: Any) -> None:
        n = 0
        while True:
            await box.get()
            n += 1

    async def make(number: int) -> list[Any]:
        boxes: list[Any] = [asyncio.Queue() for _ in range(number)]
        made = [asyncio.create_task(actor(box)) for box in boxes]
        for box in boxes:
            box.put_nowait(1)
        while any(box.qsize() for box in boxes):
            await asyncio.sleep(0.01)
        return [boxes, made]

    async def body() -> float:
        first = await make(100)
        gc.collect()
        before = resident()
        rest = await make(count)
        gc.collect()
        used = (resident() - before) / count
        for task in first[1] + rest[1]:
            task.cancel()
        return used

    return {"bytes": asyncio.run(body())}


# trio: a task and a memory channel


def trio_ping_pong(count: int) -> dict[str, float]:
    import trio

    async def measure() -> float:
        to_a, from_a = trio.open_memory_channel[int](1)
        to_b, from_b = trio.open_memory_channel[int](1)

        async def pong() -> None:
            for _ in range(count):
                await from_b.receive()
                await to_a.send(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pong)
            start = time.perf_counter()
            for _ in range(count):
                await to_b.send(1)
                await from_a.receive()
            return (time.perf_counter() - start) / count * 1e6

    return {"us": trio.run(_median_of, measure)}


# Pykka: a thread and a queue


def pykka_ping_pong(count: int) -> dict[str, float]:
    import threading

    import pykka

    done = threading.Event()

    class Pong(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            message.tell(self.actor_ref)

    class Ping(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.left = 0

        def on_receive(self, message: Any) -> None:
            if isinstance(message, tuple):
                self.left, other = message
                other.tell(self.actor_ref)
                return
            self.left -= 1
            if self.left:
                message.tell(self.actor_ref)
            else:
                done.set()

    ping, pong = Ping.start(), Pong.start()

    def measure() -> float:
        done.clear()
        start = time.perf_counter()
        ping.tell((count, pong))
        done.wait()
        return (time.perf_counter() - start) / count * 1e6

    return {"us": median_of(measure)}


def pykka_call(count: int) -> dict[str, float]:
    import pykka

    class Counter(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.n = 0

        def on_receive(self, message: Any) -> int:
            self.n += 1
            return self.n

    counter = Counter.start()

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(count):
            counter.ask(None, timeout=5.0)
        return (time.perf_counter() - start) / count * 1e6

    return {"us": median_of(measure)}
