"""Check the instructions of a pickle before something unpickles it. Runs none of them and imports nothing for them.

An unpickler with an allow-list runs no foreign code. But a tuple in a tuple in a tuple overflows the C stack when it is
hashed, a dict that holds itself has no end, and a tuple of two equal tuples, 60 times over, takes for ever to print.
"""

import pickletools
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import IO, Any

MAX_INSTRUCTIONS = 500_000  # a state dict of ResNet-1202 has 0.2 million
MAX_CONTAINERS = 100_000  # tuples, lists, dicts, calls; ResNet-1202 has 0.04 million
MAX_DEPTH = 64  # containers inside containers; a state dict has 8
TOO_DEEP = f"its values are nested more than {MAX_DEPTH} deep"
MAX_SIZE = 10_000_000  # values of the whole object, where a shared value counts each time
MAX_MEMO = 1_000_000  # the C unpickler allocates as many slots as the largest memo index
LEAF, MARK = 0, -1
MEMO_WRITES = ("PUT", "BINPUT", "LONG_BINPUT")
MEMO_READS = ("GET", "BINGET", "LONG_BINGET")
NEW_CONTAINERS = ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_SET", "GLOBAL")  # made from nothing
CHANGES = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")  # of the deepest value that they take


def check(file: IO[bytes], *, refused: Collection[str] = ()) -> None:
    """Check the next pickle of `file`, and leave the file behind it.

    Args:
        refused: names that no GLOBAL instruction may ask for, e.g. `bytearray`.

    Raises:
        ValueError: the pickle is damaged, too large, nested too deep, holds itself, or asks for a refused name.
    """
    machine = _Machine()
    for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if number == MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS:,} instructions")
        if instruction.name == "GLOBAL" and str(argument).split(" ")[-1] in refused:
            raise ValueError(f"it asks for {str(argument).replace(' ', '.')}, which is not allowed")
        machine.step(instruction, argument)
    _check_nesting(machine.parts)


class _Machine:
    """A pickle machine that keeps only which container holds which: number 0 stands for each value without parts."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.memo: dict[int, int] = {}
        self.parts: list[list[int]] = [[]]  # of each container, by its number
        self.depth = [0]  # of each container when it was made; it may get deeper parts later

    def step(self, instruction: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do one instruction. Raises `ValueError` when the stack or the memo lacks a value."""
        name, after = instruction.name, instruction.stack_after
        if name in MEMO_WRITES or name == "MEMOIZE":
            self._remember(len(self.memo) if name == "MEMOIZE" else int(argument))
        elif name in MEMO_READS:
            self.stack.append(self._recall(int(argument)))
        elif name == "MARK":
            self.stack.append(MARK)
        elif name == "DUP":
            self.stack.append(self._pop())
            self.stack.append(self.stack[-1])
        else:
            taken = list(self._take(instruction.stack_before))
            if name in CHANGES:
                self.stack.append(self._changed(taken[-1], taken[:-1]))
            elif after:
                is_leaf = not instruction.stack_before and name not in NEW_CONTAINERS
                self.stack.append(LEAF if is_leaf else self._container(taken))

    def _take(self, before: list[pickletools.StackObject]) -> Iterator[int]:
        """Take values off the stack, the deepest last."""
        fixed = before
        if pickletools.markobject in before:
            fixed = before[: before.index(pickletools.markobject)]
            while (value := self._pop(or_mark=True)) != MARK:
                yield value
        for _ in fixed:
            yield self._pop(or_mark=len(before) == 1)  # POP may take a mark

    def _pop(self, *, or_mark: bool = False) -> int:
        if not self.stack or (self.stack[-1] == MARK and not or_mark):
            raise ValueError("it takes a value from an empty stack")
        return self.stack.pop()

    def _remember(self, index: int) -> None:
        if not 0 <= index <= MAX_MEMO:
            raise ValueError(f"memo index {index} is out of range")
        if not self.stack:
            raise ValueError("it stores a value from an empty stack")
        self.memo[index] = self.stack[-1]

    def _recall(self, index: int) -> int:
        if index not in self.memo:
            raise ValueError(f"memo index {index} is not set")
        return self.memo[index]

    def _container(self, parts: list[int]) -> int:
        if len(self.parts) > MAX_CONTAINERS:
            raise ValueError(f"it has more than {MAX_CONTAINERS:,} containers")
        self.parts.append(parts)
        self.depth.append(1 + max((self.depth[part] for part in parts), default=0))
        if self.depth[-1] > MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        return len(self.parts) - 1

    def _changed(self, container: int, added: list[int]) -> int:
        if container <= LEAF:
            raise ValueError("it changes a value that is no container")
        self.parts[container] += added
        return container


def _check_nesting(parts: list[list[int]]) -> None:
    """Raise `ValueError` when a container holds itself, or its nesting or its size is beyond the limit."""
    depth, size = [0] * len(parts), [1] * len(parts)
    try:
        for number in TopologicalSorter(dict(enumerate(parts))).static_order():
            depth[number] += 1 + max((depth[part] for part in parts[number]), default=0)
            size[number] += sum(size[part] for part in parts[number])
            if depth[number] > MAX_DEPTH:
                raise ValueError(TOO_DEEP)
            if size[number] > MAX_SIZE:
                raise ValueError(f"it stands for more than {MAX_SIZE:,} values")
    except CycleError:
        raise ValueError("a value holds itself") from None
