# Written by `host build`. Changes are lost.
"""What a module answers where its WIT says `result`."""

from dataclasses import dataclass
from typing import Generic, TypeVar, Union

T = TypeVar("T")
E = TypeVar("E")


@dataclass
class Some(Generic[T]):
    """An option in an option that is there."""

    value: T


@dataclass
class Ok(Generic[T]):
    """It went well, and this came of it."""

    value: T


@dataclass(frozen=True)
class Err(Generic[E], Exception):
    """It did not, and this is why. It is raised where the whole call has failed."""

    value: E


Result = Union[Ok[T], Err[E]]
