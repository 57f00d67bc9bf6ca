"""The command group, and the border of the process: every error becomes one line and an exit code here.

Exit codes: 0 done; 1 done, and what was looked at is not as it should be (a run that failed, a comparison
that differs, a check of the doctor that is red); 2 wrong input or a fault of the lab; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from harness.cli.compare import compare
from harness.cli.console import EXIT_INTERRUPTED, EXIT_WRONG, complain
from harness.cli.defects import defects
from harness.cli.doctor import doctor
from harness.cli.importing import import_group
from harness.cli.lab import lab
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.schema import schema
from harness.cli.topo import topo
from harness.core.errors import HarnessError

EPILOG = """\b
Examples:
  roce doctor                                     what is installed, and what to do about the rest
  roce topo show leaf-spine-16                    draw a topology
  roce run scenario.yaml --out results/first      run a scenario on the simulated fabric
  roce import hpcc config.cfg -o scenario.yaml    read a configuration of the HPCC ns-3 simulator
  roce compare reference/ results/first           hold a run against another simulator's output
  roce defects --quick                            see that the suites notice what is wrong

Suites are run by pytest: pytest suites -n auto
"""


@click.group(
    epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="roce-validation-harness", prog_name="roce")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Validate RoCE fabrics: run scenarios, draw topologies, read and compare results."""


for _command in (run, topo, schema, import_group, report, compare, doctor, lab, defects):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``roce`` with ``arguments`` (default: those of the process) and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_guarded(given, debug="--debug" in given))


def _guarded(arguments: list[str], *, debug: bool) -> int:
    """Run a command; return its exit code and let no exception through unless debugging."""
    # --debug is welcome anywhere on the line, where people add it after a command has failed.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        # standalone_mode=False gives back what click would have exited with, and raises its errors.
        code = cli.main(args=arguments, prog_name="roce", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_WRONG
    except click.ClickException as error:
        complain(_with_hint(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _quiet_pipe()
    except (HarnessError, OSError) as error:
        if debug:
            raise
        complain(str(error))
        return EXIT_WRONG
    return code if isinstance(code, int) else 0


def _with_hint(error: click.ClickException) -> str:
    """The message of a wrong command line, with where to read what is right."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')}; see {error.ctx.command_path} --help"
    return message


def _quiet_pipe() -> int:
    """The reader of our output left (``roce … | head``): say nothing, and flush what is left into nowhere."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as a shell reports SIGPIPE
