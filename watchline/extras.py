"""How to install what an optional part needs."""


def command(extra: str) -> str:
    """What a user types; the package is not on PyPI, where anybody may take its name."""
    return f"pip install '.[{extra}]' in the folder of Watchline's source"
