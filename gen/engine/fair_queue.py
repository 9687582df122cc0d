"""A queue that takes turns among clients, and among the items of a client goes by arrival."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of clients: whoever waits longest for a turn is next, however much others have asked for.

    It is not locked: whoever shares it among threads does so.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[Item]] = OrderedDict()  # the first has the next turn

    def __len__(self) -> int:
        return sum(map(len, self._clients.values()))

    def __iter__(self) -> Iterator[Item]:
        """All items, in no order that counts."""
        return iter([item for items in self._clients.values() for item in items])

    def put(self, client: str, item: Item) -> None:
        """Add an item behind those of its client; a client without items gets the last turn."""
        self._clients.setdefault(client, deque()).append(item)

    def first(self) -> Item | None:
        """The item that `pop` gives next; None: there is none."""
        return next((items[0] for items in self._clients.values()), None)

    def pop(self) -> Item:
        """Take the next item; its client gets the last turn.

        Raises:
            IndexError: there is none.
        """
        if not self._clients:
            raise IndexError("the queue is empty")
        client, items = next(iter(self._clients.items()))
        item = items.popleft()
        self._clients.move_to_end(client)
        if not items:
            del self._clients[client]
        return item

    def remove(self, item: Item) -> bool:
        """Take an item out, wherever it stands; False: it is not there."""
        for client, items in self._clients.items():
            if item in items:
                items.remove(item)
                if not items:
                    del self._clients[client]
                return True
        return False
