"""Dataclasses that cost next to nothing until they are used.

The standard library compiles six methods for each class when it is imported: fifty classes took a third of dbroster's
own share of a run that changes nothing. Here `__init__` is compiled when the first object is made, and the other
methods are shared. To type checkers, and to `dataclasses.replace` and `asdict`, they are dataclasses.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    from operator import attrgetter
    from typing import ClassVar, get_origin

    _MISSING = object()

    class _Field:
        """How an attribute gets its value, and whether it is shown and compared."""

        __slots__ = ("compare", "default", "default_factory", "init", "name", "repr")

        def __init__(self, default=_MISSING, default_factory=_MISSING, *, init=True, repr=True, compare=True):  # noqa: A002
            self.name, self.default, self.default_factory = "", default, default_factory
            self.init, self.repr, self.compare = init, repr, compare

        @property
        def is_optional(self):
            return self.default is not _MISSING or self.default_factory is not _MISSING

    field = _Field

    def dataclass(cls=None, /, *, frozen=False, slots=False):
        """Do what `dataclasses.dataclass` does, of its options only these."""
        return _made(cls, frozen, slots) if cls else lambda cls: _made(cls, frozen, slots)

    def replace(record, /, **changes):
        """Return a record with other values for some of its attributes."""
        for each in record.__fields__:
            if each.init:
                changes.setdefault(each.name, getattr(record, each.name))
        return type(record)(**changes)

    def _made(cls, frozen, slots):
        fields = {each.name: each for each in getattr(cls, "__fields__", ())}
        for name, annotation in cls.__annotations__.items():
            if annotation is not ClassVar and get_origin(annotation) is not ClassVar:
                fields[name] = _own_field(cls, name)
        methods = _methods(cls.__dict__, tuple(fields.values()), frozen=frozen)
        if slots:
            cls = _with_slots(cls, fields, methods)
        else:
            for name, value in methods.items():
                setattr(cls, name, value)
        if "__init__" not in cls.__dict__:
            cls.__init__ = _first_init(cls)
        return cls

    def _own_field(cls, name):
        default = cls.__dict__.get(name, _MISSING)
        if isinstance(default, _Field):
            delattr(cls, name)
            if default.default is not _MISSING:
                setattr(cls, name, default.default)
        else:
            default = _Field(default)
        default.name = name
        return default

    def _methods(own, fields, *, frozen):
        """Shared methods, but those that the class has written itself."""
        compared = attrgetter(*names) if (names := [each.name for each in fields if each.compare]) else type
        found = {
            "__fields__": fields,
            "__dataclass_fields__": _STANDARD,
            "__match_args__": tuple(each.name for each in fields if each.init),
            "__repr__": _repr,
            "__eq__": lambda one, two: compared(one) == compared(two) if type(one) is type(two) else NotImplemented,
            "__hash__": (lambda one: hash(compared(one))) if frozen else None,
            "__setstate__": _set_state,
        }
        if frozen:
            found |= {"__setattr__": _refuse, "__delattr__": _refuse}
        return {name: value for name, value in found.items() if name not in own or name == "__fields__"}

    def _with_slots(cls, fields, methods):
        own = {name: value for name, value in cls.__dict__.items() if name not in (*fields, "__dict__", "__weakref__")}
        inherited = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
        own |= methods | {"__slots__": tuple(name for name in fields if name not in inherited)}
        return type(cls)(cls.__name__, cls.__bases__, own | {"__qualname__": cls.__qualname__})

    def _first_init(cls):
        def init(self, *values, **named):
            cls.__init__ = made = _compiled(cls)
            made(self, *values, **named)

        return init

    def _compiled(cls):
        """Write the `__init__` of this class; all the words in it are names of its attributes."""
        known = {"set_": object.__setattr__, "missing_": _MISSING}
        parameters, lines = [], []
        for each in cls.__fields__:
            name, default, factory = each.name, f"default_{each.name}_", f"factory_{each.name}_"
            known |= {default: each.default, factory: each.default_factory}
            value = name if each.init else default
            if each.default_factory is not _MISSING:
                known[default] = _MISSING
                value = f"({factory}() if {name} is missing_ else {name})" if each.init else f"{factory}()"
            if each.init:
                parameters.append(f"{name}={default}" if each.is_optional else name)
            if each.init or each.is_optional:
                lines.append(f" set_(self, {name!r}, {value})")
        if hasattr(cls, "__post_init__"):
            lines.append(" self.__post_init__()")
        exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), known)  # noqa: S102
        return known["__init__"]

    def _repr(self):
        shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in self.__fields__ if each.repr)
        return f"{type(self).__qualname__}({shown})"

    def _refuse(self, name, *_):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"{type(self).__name__}.{name} can't be changed")

    def _set_state(self, state):
        """Unpickle, past what keeps attributes from being set."""
        for values in state if isinstance(state, tuple) else (state,):
            for name, value in (values or {}).items():
                object.__setattr__(self, name, value)

    class _Standard:
        """What the standard library wants to know of a dataclass, made when it asks."""

        def __get__(self, record, cls):
            import dataclasses

            found = {}
            for each in cls.__fields__:
                found[each.name] = made = dataclasses.field(init=each.init, repr=each.repr, compare=each.compare)
                made.name, made._field_type = each.name, dataclasses._FIELD  # noqa: SLF001 - as `dataclass` itself
            return found

    _STANDARD = _Standard()

__all__ = ["dataclass", "field", "replace"]
