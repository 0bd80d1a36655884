"""Where `odds` starts: first what ends it, then the command line, which takes a second to load."""

from __future__ import annotations

import sys

from flows.terminal import stopping


def main() -> None:
    """Run the command line.

    A mistake of the person ends in one line and exit status 2, a failure in one line and exit status 1; Ctrl-C and
    SIGTERM in one line and 130 and 143.
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
    """End with the line that says the error, whatever a library made of an interruption."""
    stopping.leave()
    if (number := stopping.stopped_by()) is not None:
        _show(error)
        sys.exit(128 + number)
    if error is None:
        return
    if isinstance(error, SystemExit):
        raise error
    # Not before: the start must not wait for it.
    from flows.terminal.console import harmless
    from warehouse.errors import OddsError

    _show(error)
    if isinstance(error, OddsError):
        line, status = str(error), error.exit_status
    elif isinstance(error, KeyboardInterrupt):
        line, status = stopping.LINE, 130
    else:  # the last line of defence: a person never meets a traceback unasked
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
