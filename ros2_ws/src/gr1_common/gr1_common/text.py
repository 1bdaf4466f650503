"""Text from elsewhere, made fit for a screen. No ROS import."""

LONGEST = 120


def printable(text: str) -> str:
    """One line: characters that cannot be printed become their escapes, a long text is cut to `LONGEST`
    characters.
    """
    line = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
