"""The path barrier: one leads, the others learn what came of it."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pkgproxy.barrier import LocalBarrier, Place


class Lost(Exception):
    """What the leader tells of."""


def heard(deferred: Deferred[str]) -> list[str | type[BaseException] | None]:
    """What a follower learns, when it does."""
    news: list[str | type[BaseException] | None] = []
    deferred.addCallbacks(news.append, lambda reason: news.append(reason.type))
    return news


def place_of(barrier: LocalBarrier[str], key: str = "k") -> Place[str]:
    place, leads = barrier.join(key)
    assert leads
    return place


def test_one_leads() -> None:
    """Of all who want a file the first one leads; another file has another leader."""
    barrier = LocalBarrier[str]()
    assert barrier.peek("k") is None
    place = place_of(barrier)
    assert barrier.join("k") == (place, False)
    assert barrier.peek("k") is place
    assert place_of(barrier, "other") is not place
    assert len(barrier) == 2


def test_publish() -> None:
    """Everybody learns it: who waits, at once and in order, and who comes while it lasts."""
    barrier = LocalBarrier[str]()
    place = place_of(barrier)
    order: list[int] = []
    place.outcome().addCallback(lambda _: order.append(0))
    place.outcome().addCallback(lambda _: order.append(1))
    place.outcome().addCallback(lambda _: order.append(2))
    early = heard(place.outcome())
    assert early == []
    place.publish("news")
    assert (early, order) == (["news"], [0, 1, 2])
    assert heard(barrier.join("k")[0].outcome()) == ["news"]


def test_leave() -> None:
    """Who joins when the leader has left leads anew; the old place takes nothing from the new."""
    barrier = LocalBarrier[str]()
    place = place_of(barrier)
    place.publish("news")
    place.leave()
    assert (len(barrier), barrier.peek("k")) == (0, None)
    assert heard(place.outcome()) == ["news"]
    anew = place_of(barrier)
    place.leave()
    assert barrier.peek("k") is anew
    assert heard(anew.outcome()) == []


def test_fail() -> None:
    """If nothing will come all learn why, and the next who asks leads."""
    barrier = LocalBarrier[str]()
    place = place_of(barrier)
    early = [heard(place.outcome()), heard(place.outcome())]
    place.fail(Failure(Lost()))
    assert early == [[Lost], [Lost]]
    assert heard(place.outcome()) == [Lost]
    assert place_of(barrier) is not place


def test_ask_again_at_once() -> None:
    """A follower that learns of a failure and asks again at once leads, and is not forgotten."""
    barrier = LocalBarrier[str]()
    place = place_of(barrier)
    led: list[bool] = []
    place.outcome().addErrback(lambda _: led.append(barrier.join("k")[1]))
    place.outcome().addErrback(lambda _: led.append(barrier.join("k")[1]))
    place.fail(Failure(Lost()))
    assert led == [True, False]
    assert len(barrier) == 1


def test_each_has_its_own() -> None:
    """A follower that gives up, or breaks, concerns nobody else."""
    place = place_of(LocalBarrier[str]())
    gone = place.outcome()
    first, second = heard(gone), heard(place.outcome())
    gone.cancel()
    assert (first, second) == ([CancelledError], [])
    assert "waiting=1" in repr(place)
    place.outcome().addCallback(lambda _: 1 // 0).addErrback(lambda _: None)
    third = heard(place.outcome())
    place.publish("news")
    assert (first, second, third) == ([CancelledError], ["news"], ["news"])
    gone.cancel()
    assert "waiting=0" in repr(place)


def test_cancelled_by_another() -> None:
    """What one follower does when it is told may end another one's waiting."""
    place = place_of(LocalBarrier[str]())
    waiting: list[Deferred[str]] = []
    place.outcome().addCallback(lambda _: waiting[0].cancel())
    waiting.append(place.outcome())
    told = heard(waiting[0])
    last = heard(place.outcome())
    place.publish("news")
    assert (told, last) == ([CancelledError], ["news"])


def test_asked_while_told() -> None:
    """Who asks in the moment of the news gets them too, once."""
    place = place_of(LocalBarrier[str]())
    late: list[list[str | type[BaseException] | None]] = []
    place.outcome().addCallback(lambda _: late.append(heard(place.outcome())))
    place.publish("news")
    assert late == [["news"]]


@pytest.mark.parametrize("first", ["publish", "fail"])
@pytest.mark.parametrize("second", ["publish", "fail"])
def test_settled_once(first: str, second: str) -> None:
    """A leader does not change its mind."""
    place = place_of(LocalBarrier[str]())

    def settle(how: str) -> None:
        if how == "publish":
            place.publish(how)
        else:
            place.fail(Failure(Lost()))

    settle(first)
    with pytest.raises(RuntimeError, match="settled before"):
        settle(second)
    assert heard(place.outcome()) == ["publish" if first == "publish" else Lost]
