"""Show records as the dataclasses that they are: an extension of griffe, which reads the code for the reference."""  # noqa: INP001

from __future__ import annotations

from typing import Any

from griffe import Class, Decorator, ExprCall, ExprKeyword, ExprName, Extension


class Records(Extension):
    """Take `@record` for `@dataclass(kw_only=True)`."""

    def on_class_instance(self, *, cls: Class, **_: Any) -> None:
        """Replace the decorator of a class."""
        cls.decorators = [_as_dataclass(decorator) for decorator in cls.decorators]


def _as_dataclass(decorator: Decorator) -> Decorator:
    if str(decorator.value) != "record":
        return decorator
    keyword = ExprKeyword("kw_only", "True")
    return Decorator(
        ExprCall(ExprName("dataclasses.dataclass"), [keyword]), lineno=decorator.lineno, endlineno=decorator.endlineno
    )
