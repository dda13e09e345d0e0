"""The contract of `connect`: the class of the plan's own name for the product that answers."""

from tests.contract.world import World


def test_connect_gives_the_handler_of_the_product(world: World) -> None:
    product = world.handler.server().product.split()[0]
    assert type(world.handler).__name__ == f"{product}Handler"
