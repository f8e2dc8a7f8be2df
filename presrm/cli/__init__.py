"""The command line: one module a verb, and here what holds for all of them.

Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted. A failure is one plain line on
standard error; ``--debug`` shows the traceback.
"""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from presrm.cli.ends import prepare_streams, stoppable
from presrm.cli.verbs import Verbs
from presrm.errors import PresrmError

_ANYWHERE = ("--debug", "--verbose", "-v")
_RESUME = "run the same command again to resume"
_HELP = """Train a language model to reason step by step, with the model as its own judge.

At each step of a problem, the policy (the model that is trained) samples several candidate steps and judges them
itself. The best and the worst candidate form a preference pair. Step-wise DPO on these pairs trains the next policy,
and the loop repeats.

\b
  $ presrm train --dry-run                  show the plan of a run
  $ presrm train                            run the whole loop on the embedded policy
  $ presrm train gsm8k-small --model DIR    run it on GSM8K with your own model
  $ presrm judge-steps solutions.jsonl      judge every step of the solutions in a file
  $ presrm eval --model DIR --problems P    evaluate a policy on a benchmark

If a command is interrupted, run it again: it resumes where it stopped. 'presrm VERB --help' explains a verb.
"""


app = typer.Typer(
    cls=Verbs,
    help=_HELP,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details of the work.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback if the command fails.")] = False,
) -> None:
    """Apply the flags that may appear anywhere in a command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
    logging.captureWarnings(capture=True)
    if not verbose:
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
    if version:
        from presrm import __version__

        print(f"presrm {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its exit code.

    Args:
        arguments: What follows ``presrm``; none: those of the process.

    Raises:
        SystemExit: always, with the exit code.
    """
    for bars in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):  # those of libraries would cut through ours
        os.environ.setdefault(bars, "1")
    if Path("/sys/kernel/mm/transparent_hugepage").is_dir():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for huge pages, so few are faulted
    given = list(sys.argv[1:] if arguments is None else arguments)
    everywhere = [flag for flag in given if flag in _ANYWHERE]
    ordered = everywhere + [argument for argument in given if argument not in _ANYWHERE]
    try:
        prepare_streams()
        with stoppable():
            code = get_command(app).main(args=ordered, prog_name="presrm", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError as error:
        _silence_output()
        raise SystemExit(1) from error
    except Exception as error:
        if "--debug" in everywhere:
            traceback.print_exc()
        from presrm.cli.show import one_line

        code, message = explain_failure(error)
        print(f"presrm: {one_line(message)}", file=sys.stderr)
        raise SystemExit(code) from error
    if code == 130:
        print(f"presrm: interrupted; nothing finished is lost, {_RESUME}", file=sys.stderr)
    raise SystemExit(code or 0)


def explain_failure(error: Exception) -> tuple[int, str]:
    """Give the exit code of a failure, and a message for the user."""
    if isinstance(error, PresrmError):
        return error.exit_code, str(error)
    if isinstance(error, TyperException):
        return error.exit_code, _explain_usage(error)
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return 1, f"a file may not grow any larger (see ulimit -f); nothing already computed is lost: {_RESUME}"
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or os.strerror(errno.ENOSPC) in str(error):  # libraries that save weights have errors of their own
        return 1, f"the disk is full; nothing already computed is lost: free some space and {_RESUME}"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return 1, f"{os.fsdecode(error.filename)}: {error.strerror}"
    return 1, f"unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)"


def _explain_usage(error: TyperException) -> str:
    """Say what was wrong with the command line, with the nearest valid flag."""
    context = getattr(error, "ctx", None)
    flag = getattr(error, "option_name", None)
    if context is None:
        return error.format_message()
    if flag is not None and hasattr(error, "possibilities"):
        known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("-")]
        from presrm.registry import nearest

        return f"unknown flag {flag!r}; {nearest(flag, [*known, *_ANYWHERE])}"
    message = error.format_message().replace("Value error, ", "", 1)  # that is pydantic's, for a value of a choice
    return f"{message} (see '{context.command_path} --help')"


def _silence_output() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
