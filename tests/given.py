"""What spaces without a model or data are given where a test takes every space."""

GIVEN = {
    "nas_bench_201": [
        "data=digits",
        "child.filters=4",
        "child.cells=1",
    ],  # whose cells have a table
    "modules": ["search_space.model=tests.newcomers.own_model.Net"],
    "function": [
        "search_space.build=tests.newcomers.own_model.build",
        "search_space.decisions={width:[4,8],first:[1,3],second:[1,3]}",
    ],
}


def choosing(space: str) -> list[str]:
    """The arguments that choose a search space and make it a whole."""
    return [f"search_space={space}", *GIVEN.get(space, [])]
