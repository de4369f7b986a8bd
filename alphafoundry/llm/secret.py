"""An API key that does not show itself."""

from __future__ import annotations

from typing import NoReturn

from alphafoundry.errors import ConfigurationError

HIDDEN = "[API key]"
_SHOWN_PART = 12


class ApiKey:
    """Holds a key; its repr, its pickle and its copies in other texts do not show it.

    Raises
    ------
    ConfigurationError : the key is empty, or cannot stand in an HTTP header
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, source: str = "the API key") -> None:
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigurationError(f"{source} is not an API key: it is empty or not plain text")
        self._value = value

    def __repr__(self) -> str:
        return "ApiKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key cannot be pickled")

    def reveal(self) -> str:
        """Return the key, for the header of a request and for nothing else."""
        return self._value

    def hide_in(self, text: str) -> str:
        """Return `text` with the key replaced, and with any long beginning of it replaced."""
        value = self._value
        beginning = value[:_SHOWN_PART]
        parts: list[str] = []
        position = 0
        while (start := text.find(beginning, position)) >= 0:
            parts += (text[position:start], HIDDEN)
            position = start + len(beginning)
            # A key that was cut short somewhere is hidden to where it was cut.
            for character in value[_SHOWN_PART:]:
                if text[position : position + 1] != character:
                    break
                position += 1
        return "".join((*parts, text[position:]))
