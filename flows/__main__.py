"""Where `odds` starts and ends, and prints errors. Signals are handled before the command line is loaded."""

from __future__ import annotations

import sys

from flows.terminal import stopping


def main() -> None:
    """Run the command line.

    Every error ends in one line. The exit status is 2 for bad input, 1 for a failure, 130 for Ctrl-C, 143 for
    SIGTERM and 129 for SIGHUP.
    """
    error: BaseException | None = None
    try:
        stopping.install()
        from flows.cli.app import app
        from flows.terminal.console import forgiving_streams

        forgiving_streams()
        app()
    except BaseException as raised:
        error = raised
    _end(error)


def _end(error: BaseException | None) -> None:
    """Exit with a line about the error, whatever a library made of an interruption."""
    stopping.leave()
    if (number := stopping.stopped_by()) is not None:
        _show(error)
        stopping.end_by(number)
    if error is None:
        return
    if isinstance(error, SystemExit):
        raise error
    # imported late, to start fast
    from flows.rooms import hidden_room

    if isinstance(error, ImportError) and (hidden := hidden_room()) is not None:
        sys.exit(f"odds: {hidden}")
    from flows.terminal.console import harmless
    from warehouse.errors import OddsError

    _show(error)
    if isinstance(error, OddsError):
        line, status = str(error), error.exit_status
    elif isinstance(error, KeyboardInterrupt):
        line, status = stopping.LINE, 130
    else:  # a last resort: nobody sees a traceback without --verbose
        line, status = f"unexpected {type(error).__name__}: {error}; --verbose shows where", 1
    print("odds: " + harmless(" ".join(line.split())), file=sys.stderr)
    sys.exit(status)


def _show(error: BaseException | None) -> None:
    console = sys.modules.get("flows.terminal.console")
    if error is not None and console is not None and console.Chosen.verbose:
        import traceback

        traceback.print_exception(error)


if __name__ == "__main__":
    main()
