"""What tests read out of a PDF."""


def described(reader):
    """The descriptions of all figures and formulas of a tagged PDF, in its order."""
    found, left = [], [reader.root_object["/StructTreeRoot"]["/K"]]
    while left:
        item = left.pop().get_object()
        if isinstance(item, list):
            left += reversed(item)
        elif isinstance(item, dict):
            found += [item["/Alt"]] if item.get("/S") == "/Figure" and "/Alt" in item else []
            left += [item["/K"]] if "/K" in item else []
    return found
