"""Read batches ahead of the step that needs them, in a thread of its own.

What is to be read is announced in order. The thread is a few batches ahead, no more, so memory
stays small. It only reads: all arithmetic of tensors happens in the caller's thread, in the same
order as without it, and so results are bitwise the same.

An error of reading is raised where the batch is taken, as if it had been read there. A thread that
hangs in a read (a network disk) keeps nobody from ending: nobody waits for it at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Request = TypeVar("Request")
Content = TypeVar("Content")
DEPTH = 2
"""How many batches are read ahead."""

Task = tuple[Request, "Future[Content]"]


class ReadAhead(Generic[Request, Content]):
    """Gives what ``read`` gives, read before it is asked for where it was announced.

    Args:
        read: reads what a request asks for. One call goes on at a time.
        depth: how many requests the thread is ahead.
    """

    def __init__(self, read: Callable[[Request], Content], depth: int = DEPTH) -> None:
        self._read = read
        self._depth = depth
        self._turn = threading.Lock()
        self._coming: Iterator[Request] = iter(())
        self._ahead: deque[Task[Request, Content]] = deque()
        self._tasks: SimpleQueue[Task[Request, Content] | None] | None = None
        """What the thread takes its tasks from. None: there is no thread."""

    def announce(self, requests: Iterable[Request]) -> None:
        """Say what will be taken next, in this order. What was announced before is forgotten."""
        self._forget(len(self._ahead))
        self._coming = iter(requests)
        self._fill()

    def take(self, request: Request) -> Content:
        """Return what a request asks for.

        Announced ones before it are left out. One that was not announced is read now, and the
        others stay announced.
        """
        waiting = [announced for announced, _ in self._ahead]
        if request not in waiting:
            with self._turn:
                return self._read(request)
        self._forget(waiting.index(request))
        _, content = self._ahead.popleft()
        self._fill()
        return content.result()

    def close(self) -> None:
        """Forget what was announced, and let the thread end once it has read what it reads now."""
        self.announce(())
        if self._tasks is not None:
            self._tasks.put(None)
            self._tasks = None

    def _forget(self, count: int) -> None:
        for _ in range(count):
            _, content = self._ahead.popleft()
            content.cancel()

    def _fill(self) -> None:
        """Give the thread tasks until it is ``depth`` ahead. The first one starts it."""
        while len(self._ahead) < self._depth:
            request = next(self._coming, None)
            if request is None:
                return
            task: Task[Request, Content] = (request, Future())
            self._ahead.append(task)
            if self._tasks is None:
                self._tasks = SimpleQueue()
                threading.Thread(
                    target=self._work, args=(self._tasks,), name="read-ahead", daemon=True
                ).start()
            self._tasks.put(task)

    def _work(self, tasks: SimpleQueue[Task[Request, Content] | None]) -> None:
        while task := tasks.get():
            request, content = task
            if not content.set_running_or_notify_cancel():
                continue
            try:
                with self._turn:
                    result = self._read(request)
            except BaseException as error:
                content.set_exception(error)
            else:
                content.set_result(result)
            # Else they would stay in memory until the next task comes.
            del task, request, content
            result = None  # type: ignore[assignment]
