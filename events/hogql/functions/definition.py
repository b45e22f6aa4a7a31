"""What a function of HogQL is: its names, how many arguments it takes, what it is in ClickHouse, what it returns."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError
from events.hogql.types import UNKNOWN, Type

type Arity = tuple[int, int | None]
type Returns = Callable[[Sequence[Type]], Type]
type Writer = Callable[["Call"], str]

NO_ARGUMENTS: Final[Arity] = (0, 0)
_PLACE = re.compile(r"\{(\d+|\*|timezone|week_mode|distinct|filter)\}")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call: its SQL, its type and, where it is a constant, the value it was written from."""

    sql: str
    type: Type = UNKNOWN
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is to be written.

    `parameters` are the SQL of what stands in the first pair of parentheses, as in `quantile(0.9)(x)`. `filter` is the
    SQL of FILTER (WHERE ..). `bind` takes a value and ClickHouse's name of its type, and returns what stands for it.
    """

    name: str
    arguments: tuple[Argument, ...]
    parameters: tuple[str, ...] = ()
    distinct: bool = False
    filter: str | None = None
    context: Context
    bind: Callable[[Any, str], str]

    @property
    def timezone(self) -> str:
        """The SQL of the project's time zone."""
        return self.bind(self.context.timezone, "String")

    def sqls(self) -> list[str]:
        """Return the SQL of the arguments."""
        return [argument.sql for argument in self.arguments]

    def mistake(self, message: str) -> HogQLResolutionError:
        """Return the error of a call whose arguments cannot be; the compiler knows the place."""
        return HogQLResolutionError(message)


@dataclass(frozen=True, slots=True)
class Special:
    """How a function is written, and what it then returns, where its arguments' types or values decide on it."""

    write: Writer
    returns: "Callable[[Call], Type] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One entry of the allow-list.

    `clickhouse` is ClickHouse's name, or an expression with `{0}`, `{1}`, `{*}` for the arguments and `{timezone}`,
    `{week_mode}` of the project. `arity` and `params` are the least and the most, None for any number.
    `timezone` is the place of an argument that is the project's time zone where the caller left it out.
    `higher_order` are the places at which a lambda may stand, `constants` those which must be constants of the text.
    `window` marks what needs OVER. `example` is a call whose arguments are ClickHouse's SQL, without tables. What
    `returns` says of the types alone, `result` says better of a call. `combinators` are those behind an aggregation's
    name. What is `expanded` stands for another expression, which the compiler writes.
    """

    name: str
    clickhouse: str
    arity: Arity
    returns: Returns
    description: str
    group: str
    example: str
    params: Arity = NO_ARGUMENTS
    aggregate: bool = False
    window: bool = False
    case_sensitive: bool = True
    special: Special | None = None
    timezone: int | None = None
    higher_order: tuple[int, ...] = ()
    constants: tuple[int, ...] = ()
    combinators: tuple[str, ...] = ()
    expanded: bool = False

    @property
    def windowed(self) -> bool:
        """Whether OVER may follow."""
        return self.window or (self.aggregate and self.special is None and "(" not in self.clickhouse)

    def check(self, arguments: int, parameters: int | None = None) -> None:
        """Raise HogQLResolutionError unless so many arguments and parameters fit; None is no first parentheses."""
        _check_count(self, arguments)
        _check_parameters(self, parameters)

    def result(self, call: Call) -> Type:
        """Return the type of the call, which for some functions depends on the values of constants."""
        if self.special is not None and self.special.returns is not None:
            return self.special.returns(call)
        return self.returns([argument.type for argument in call.arguments])

    def sql(self, call: Call) -> str:
        """Return the call in ClickHouse's SQL; HogQLResolutionError for arguments that cannot be."""
        for place in self.constants:
            if place < len(call.arguments) and not call.arguments[place].type.constant:
                msg = f"Argument {place + 1} of function '{self.name}' must be a constant"
                raise call.mistake(msg)
        if self.special is not None:
            return self.special.write(call)
        if "{" in self.clickhouse:
            return _filled(self.clickhouse, call)
        arguments = call.sqls()
        if self.timezone is not None and len(arguments) == self.timezone:
            arguments.append(call.timezone)
        return called(self.clickhouse, arguments, call)


def called(name: str, arguments: Sequence[str], call: Call) -> str:
    """Return `name(parameters)(DISTINCT arguments) FILTER (WHERE ..)`."""
    parameters = f"({', '.join(call.parameters)})" if call.parameters else ""
    distinct = "DISTINCT " if call.distinct else ""
    return f"{name}{parameters}({distinct}{', '.join(arguments)}){_filter(call)}"


def _filter(call: Call) -> str:
    return f" FILTER (WHERE {call.filter})" if call.filter else ""


def _filled(template: str, call: Call) -> str:
    arguments = call.sqls()

    def place(found: re.Match[str]) -> str:
        match found[1]:
            case "*":
                return ", ".join(arguments)
            case "timezone":
                return call.timezone
            case "week_mode":
                return week_mode(call.context)
            case "distinct":
                return "DISTINCT " if call.distinct else ""
            case "filter":
                return _filter(call)
            case number:
                return arguments[int(number)]

    return _PLACE.sub(place, template)


def week_mode(context: Context) -> str:
    """Return ClickHouse's mode of weeks for the project's first day of the week: 3 is Monday, 0 is Sunday."""
    return "3" if context.week_start_day else "0"


def _check_count(function: Function, found: int) -> None:
    least, most = function.arity
    if found >= least and (most is None or found <= most):
        return
    if function.aggregate:
        msg = f"Aggregation '{function.name}' requires {_between(function.arity)}, found {found}"
        raise HogQLResolutionError(msg)
    msg = f"Function '{function.name}' expects {_wanted(function.arity, found)}, found {found}"
    raise HogQLResolutionError(msg)


def _between(arity: Arity) -> str:
    least, most = arity
    if most is None:
        return f"at least {least} {_plural('argument', least)}"
    if least == most:
        return f"{least} {_plural('argument', least)}"
    return f"between {least} and {most} arguments"


def _wanted(arity: Arity, found: int, noun: str = "argument") -> str:
    least, most = arity
    if least == most:
        return f"{least} {_plural(noun, least)}"
    if found < least or most is None:
        return f"at least {least} {_plural(noun, least)}"
    return f"at most {most} {_plural(noun, most)}"


def _check_parameters(function: Function, found: int | None) -> None:
    least, most = function.params
    kind = "Aggregation" if function.aggregate else "Function"
    if found is None:
        if least:
            msg = f"{kind} '{function.name}' requires parameters in addition to arguments"
            raise HogQLResolutionError(msg)
        return
    if found >= least and (most is None or found <= most):
        return
    if most == 0:
        msg = f"{kind} '{function.name}' does not accept parameters"
        raise HogQLResolutionError(msg)
    wanted = _wanted(function.params, found, "parameter")
    msg = f"{kind} '{function.name}' expects {wanted}, found {found}"
    raise HogQLResolutionError(msg)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
