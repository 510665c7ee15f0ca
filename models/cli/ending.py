"""How a command line ends: what goes wrong is a line."""

from collections.abc import Sequence

import typer

from core.errors import FewstepError


def run_to_its_end(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run commands. Returns the exit code: 2, with one line on stderr, after an error."""
    try:
        return int(app(arguments or ["--help"], standalone_mode=False) or 0)
    except FewstepError as error:
        option = f"--{error.field.replace('_', '-')}: " if error.field else ""
        return _fail(f"{option}{error.detail}")
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        return _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except Exception as error:
        # typer raises its own usage errors, which know their message
        if not hasattr(error, "format_message"):
            raise
        return _fail(error.format_message())


def _fail(message: str) -> int:
    typer.echo(f"fewstep: {' '.join(message.split())}", err=True)
    return 2
