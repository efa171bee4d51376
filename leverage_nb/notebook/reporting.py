"""Show what a ``%leverage`` line did where its cell does not show it: in loops, functions, scripts, assignments."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
from types import FrameType
from typing import Any, Literal

from IPython.display import display

from leverage_nb.change import Change
from leverage_nb.terminal import encodable

Use = Literal["shown", "kept", "dropped"]

# Between the magic and the user's code there are only frames of these packages.
_INTERNAL = {"IPython", "ipykernel", "leverage_nb", "decorator"}


def report(result: Any, *, is_quiet: bool, is_change: bool) -> Any:
    """Show a result at once, unless the cell shows it or its line is quiet; return it.

    A change prints one line, wherever its record goes. Anything else is shown if the user's code drops it.

    Args:
        result: The value of the line.
        is_quiet: Whether the line ends with a semicolon.
        is_change: Whether the line was to change something.

    Returns:
        The result; None if the cell would show it and the line is quiet.
    """
    use = find_use()
    if is_quiet:
        return None if use == "shown" else result
    if use == "shown" or result is None:
        return result
    from leverage_nb.changes.multi_plan import MultiPlan  # not at the top: it loads numpy, and %load_ext must not
    from leverage_nb.changes.plan import Plan

    if isinstance(result, Change):
        print(encodable(result.summary), flush=True)  # noqa: T201 - the lines of a loop are one output
        return result

    if (use == "dropped" or (is_change and isinstance(result, (Plan, MultiPlan)))) and any(
        hasattr(result, name)
        for name in ("_repr_html_", "_ipython_display_")  # not a plot
    ):
        display(result)
    return result


def find_use() -> Use:
    """Return what the user's code does with the value of the magic that is running.

    "shown": it is the value of the cell, of a cell under ``%%time`` or ``%%capture``, or assigned and shown by the next
    statement. "dropped": it is a statement of its own in a loop, a function or a script. "kept": anything else.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _INTERNAL:
            following = _next_instruction(frame)
            if following.opname == "PRINT_EXPR" or following.argrepr == "INTRINSIC_PRINT":  # until 3.11; since 3.12
                return "shown"
            if following.opname == "POP_TOP":
                return "dropped"
            in_function = frame.f_code.co_flags & inspect.CO_NEWLOCALS
            if in_function or following.opname != "RETURN_VALUE":
                return "shown" if not in_function and _is_shown_next(frame, following) else "kept"
            # %time and %%time evaluate an expression, and return its value to the cell.
        frame = frame.f_back
    return "kept"


def _next_instruction(frame: FrameType) -> dis.Instruction:
    """Return what the frame does with the value of its call."""
    # f_lasti may be that of a cache entry of the call, which dis does not list.
    instructions = list(dis.get_instructions(frame.f_code))
    return next((one for one in instructions if one.offset > frame.f_lasti), instructions[-1])


def _is_shown_next(frame: FrameType, assignment: dis.Instruction) -> bool:
    """Whether a cell assigns the value to a name, and ends with that name in the next line."""
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        *_, statement, last = ast.parse(source).body
    except (SyntaxError, ValueError):  # not a cell, or one of a single statement
        return False
    return (
        assignment.opname == "STORE_NAME"
        and isinstance(statement, ast.Assign)
        and statement.lineno <= frame.f_lineno <= (statement.end_lineno or 0)
        and isinstance(last, ast.Expr)
        and isinstance(last.value, ast.Name)
        and last.value.id == assignment.argval
        and not source.rstrip().endswith(";")
    )
