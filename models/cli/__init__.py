"""The command line `fewstep`: begin with `models.cli.main`."""

import sys
from importlib.util import find_spec


def run() -> None:
    """Run ``fewstep``, or say in a line what to install: without ``[worker]`` the package is what an API needs."""
    if sys.argv[1:2] == ["keys"]:  # where the API is, nothing else need be
        from models.cli.ending import run_to_its_end
        from models.cli.keys import alone

        sys.exit(run_to_its_end(alone, sys.argv[1:]))
    missing = [name for name in ("torch", "diffusers") if find_spec(name) is None]
    if missing:
        print(f"fewstep: {missing[0]} is not installed; this needs pip install 'fewstep[worker]'", file=sys.stderr)
        sys.exit(2)
    from models.cli.main import main

    main()
