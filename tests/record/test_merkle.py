"""The tree of RFC 6962, against its known roots and proofs, and the definition written down plainly."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.record.ledger.merkle import (
    EMPTY,
    Frontier,
    MerkleTree,
    included,
    leaf_hash,
    node_hash,
)

# The test data of certificate-transparency (merkletree/merkle_tree_test.cc), used by most implementations.
HEX = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
DATA = [bytes.fromhex(text) for text in HEX]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# (leaf, size) -> path, and (old, new) -> path, from the same test data; counted from 0 here.
PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
LEAVES = [leaf_hash(data) for data in DATA]


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(plain_root(leaves[:k]), plain_root(leaves[k:]))


def plain_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return [*plain_path(index, leaves[:k]), plain_root(leaves[k:])]
    return [*plain_path(index - k, leaves[k:]), plain_root(leaves[:k])]


def test_the_known_roots() -> None:
    frontier = Frontier()
    assert frontier.root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for size, root in enumerate(ROOTS, 1):
        assert frontier.append(LEAVES[size - 1]) == size - 1
        assert (frontier.size, frontier.root.hex()) == (size, root)
        assert MerkleTree(LEAVES[:size]).root.hex() == root


@pytest.mark.parametrize(("place", "path"), PATHS.items())
def test_the_known_paths(place: tuple[int, int], path: tuple[str, ...]) -> None:
    index, size = place
    found = MerkleTree(LEAVES[:size]).inclusion_proof(index)
    assert [one.hex() for one in found] == list(path)
    assert included(LEAVES[index], index, size, found, bytes.fromhex(ROOTS[size - 1]))


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def test_the_frontier_agrees_with_the_definition_at_every_size() -> None:
    leaves = leaves_of(300)
    frontier = Frontier()
    for size in range(301):
        assert frontier.root == plain_root(leaves[:size])
        again = Frontier.from_bytes(size, frontier.to_bytes())
        assert (again.size, again.root, again.to_bytes()) == (size, frontier.root, frontier.to_bytes())
        if size < 300:
            frontier.append(leaves[size])


@given(st.integers(1, 200), st.data())
def test_proofs_agree_with_the_definition_and_hold(size: int, data: st.DataObject) -> None:
    tree, leaves = MerkleTree(leaves_of(size)), leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    assert (tree.size, tree.root) == (size, plain_root(leaves))
    assert tree.inclusion_proof(index) == plain_path(index, leaves)
    assert included(leaves[index], index, size, tree.inclusion_proof(index), tree.root)


@given(st.integers(2, 100), st.data())
def test_a_proof_holds_for_nothing_else(size: int, data: st.DataObject) -> None:
    tree, leaves = MerkleTree(leaves_of(size)), leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    path, root = tree.inclusion_proof(index), tree.root
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index))
    assert not included(leaves[other], index, size, path, root)
    assert not included(leaves[index], other, size, path, root)
    assert not included(leaves[index], index, size, path, EMPTY)
    assert not included(leaves[index], index, size, [*path, EMPTY], root)
    assert not included(leaves[index], index, size, path[:-1], root)


def test_what_is_no_leaf_or_frontier_is_refused() -> None:
    assert not included(LEAVES[0], 8, 8, [], LEAVES[0])
    assert not included(LEAVES[0], -1, 8, [], LEAVES[0])
    for index in (8, -1):
        with pytest.raises(IndexError):
            MerkleTree(LEAVES).inclusion_proof(index)
    assert MerkleTree([]).root == EMPTY
    for size, data in ((2, b""), (1, bytes(31)), (3, bytes(32)), (-1, b"")):
        with pytest.raises(ValueError, match="frontier"):
            Frontier.from_bytes(size, data)
