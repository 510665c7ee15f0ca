"""The command line `fewstep`: begin with `main`."""
