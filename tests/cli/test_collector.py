"""What imports make while a process starts is kept out of the garbage collector."""

import gc

import pytest

from watchword.cli import collector


class Node:
    """Something that only the collector can end: it holds itself."""

    def __init__(self) -> None:
        self.itself = self


def is_tracked(node: Node) -> bool:
    return any(one is node for one in gc.get_objects())


@pytest.fixture(autouse=True)
def _nothing_stays_frozen():
    gc.collect()
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_made_inside_is_never_looked_at_again_and_the_collector_works_after():
    before = gc.get_freeze_count()

    with collector.staying():
        inside = gc.isenabled()
        kept = Node()
    later = Node()

    assert (False, True) == (inside, gc.isenabled())
    assert before < gc.get_freeze_count()
    assert (False, True) == (is_tracked(kept), is_tracked(later))


def test_where_a_start_fails_the_collector_works_and_nothing_is_frozen():
    before = gc.get_freeze_count()

    with pytest.raises(RuntimeError), collector.staying():
        raise RuntimeError

    assert gc.isenabled()
    assert before == gc.get_freeze_count()
