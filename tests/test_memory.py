"""What was computed once for a URL, remembered within bounds."""

from __future__ import annotations

from pkgproxy.message.memory import MAX_KEY, Memory


def test_small_and_right() -> None:
    """However many URLs there are, the memory is small and what it knows is right."""
    memory: Memory[str, int] = Memory(3)
    for number in range(10):
        assert memory.get(f"/{number}") is None
        assert memory.put(f"/{number}", number) == number
        assert memory.get(f"/{number}") == number
    assert len(memory._values) <= 3


def test_long_keys_are_not_kept() -> None:
    """Bounded in bytes as well: a long URL is computed anew each time."""
    memory: Memory[bytes, int] = Memory()
    assert memory.put(b"x" * (MAX_KEY + 1), 1) == 1
    assert memory.get(b"x" * (MAX_KEY + 1)) is None


def test_forget() -> None:
    """What has changed is not remembered, nor is it an error to say so twice."""
    memory: Memory[str, int] = Memory()
    memory.put("a", 1)
    memory.forget("a")
    memory.forget("a")
    assert memory.get("a") is None
