"""What all tests of the library share."""

from __future__ import annotations

import signal

INHERITED = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
"""What a shell's background jobs and nohup ignore, and what Python makes of it when nobody does."""


def pytest_configure() -> None:
    """Give signals back to the tests that send them.

    Children inherit what is ignored: a continuous-integration runner that starts its jobs in the background would make
    every process here deaf to Ctrl-C, and one that starts them with nohup to hang-ups.
    """
    for number, usual in INHERITED.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
