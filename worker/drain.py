"""Whether this worker may take work: an operator drains it and lets it go on."""

import asyncio


class Drain:
    """The state that the worker's row in the register had at its last heartbeat."""

    def __init__(self) -> None:
        self._may_take = asyncio.Event()
        self._may_take.set()

    @property
    def is_drained(self) -> bool:
        """Whether the worker plans and claims nothing more; what it has in hand goes on."""
        return not self._may_take.is_set()

    def note(self, *, is_drained: bool) -> bool:
        """Take over what the row says; return whether that is a change."""
        was_drained = self.is_drained
        if is_drained:
            self._may_take.clear()
        else:
            self._may_take.set()
        return is_drained != was_drained

    async def resumed(self) -> None:
        """Wait until the worker may take work."""
        await self._may_take.wait()
