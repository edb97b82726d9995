"""Batches for networks with batch normalisation, which needs two samples."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dysarthria.nn import normalises_batches, without_batch_of_one


@given(st.integers(1, 40), st.integers(2, 200))
def test_the_smallest_size_that_leaves_no_single_row(batch_size, n_rows):
    found = without_batch_of_one(batch_size, n_rows)
    assert found >= batch_size
    assert n_rows % found != 1
    assert all(n_rows % size == 1 for size in range(batch_size, found))


def test_a_single_row_ends_the_search():
    assert without_batch_of_one(16, 1) == 16


def test_networks_that_have_it():
    assert normalises_batches(torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    assert not normalises_batches(torch.nn.Sequential(torch.nn.LayerNorm(2)))
