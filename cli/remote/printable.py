"""What others wrote, as text that a terminal shows and never obeys."""


def one_line(text: object) -> str:
    """Return the text as one line without control characters, which could move the cursor or hide what follows."""
    return "".join(_shown(character) for character in str(text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def number(value: float) -> str:
    """Return a whole number as 12,345."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as 3m 20s."""
    whole = max(0, round(seconds))
    minutes, seconds_left = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}d {hours_left}h"
    if hours:
        return f"{hours}h {minutes_left:02}m"
    return f"{minutes}m {seconds_left:02}s" if minutes else f"{seconds_left}s"
