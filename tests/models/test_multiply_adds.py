import pytest

from resnetctl import registry
from resnetctl.models.multiply_adds import multiply_adds


@pytest.mark.parametrize(("name", "size", "published"), [("resnet20", 32, 40.8e6), ("resnet56", 32, 125e6)])
def test_estimated_multiply_adds_are_near_the_published_count(name: str, size: int, published: float) -> None:
    assert multiply_adds(registry.get("arch", name), size) == pytest.approx(published, rel=0.05)
