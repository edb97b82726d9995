"""Lists inside messages."""

import pytest

from sklearn_dysarthria._utils.text import listed


@pytest.mark.parametrize(
    ("items", "limit", "expected"),
    [
        ([], 5, ""),
        ("abc", 5, "a, b, c"),
        ("abcde", 5, "a, b, c, d, e"),
        (range(7), 5, "0, 1, 2, 3, 4 and 2 more"),
        (iter("abc"), 1, "a and 2 more"),
    ],
)
def test_the_first_items_and_how_many_more(items, limit, expected):
    assert listed(items, limit) == expected
