"""What all tests of the library share."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Give interrupts back to the tests that send them.

    A shell starts its background jobs with SIGINT ignored, and children inherit that: a continuous-integration
    runner that does so would make every process here deaf to Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
