"""Manifests in memory to pull from."""

from blake3 import blake3

from protocol.pages import Leaf
from tests.fakes.memory_pages import MemoryPages

SEED = 77
ALL = (b"", None)


def a_leaf(key, version=0):
    return Leaf(key, blake3(b"%d" % version + key).digest(), 300)


def a_tree(leaves):
    tree = MemoryPages(SEED)
    tree.put(leaves)
    return tree
