"""A Procfile, and the supervisor configuration that runs its processes.

The Procfile is the one place that names the processes. Their order is the order of starting; stopping goes backwards,
each process waiting until the one after it is gone, so that what others depend on stands first.
"""

import os
import re
import shlex
import signal
from pathlib import Path

from core.errors import FewstepError
from core.local.parent_death import tied_to_parent

SUPERVISOR = "supervisor"

SUPERVISOR_SECTION = """\
[supervisord]
nodaemon = true
silent = true
logfile = {log}
logfile_maxbytes = 10MB
logfile_backups = 1
pidfile = {pidfile}
{user}
"""

# A process that dies is started again at once when it had run for 10 s, else after 1, 2, 3, … seconds, for ever.
PROGRAM_SECTION = """\
[program:{name}]
command = {command}
priority = {priority}
autorestart = true
startsecs = 10
startretries = 1000000
stopsignal = TERM
stopwaitsecs = {seconds_to_stop}
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""


def read_procfile(path: Path) -> dict[str, str]:
    """Commands by process name, in the file's order.

    Raises:
        FewstepError: There is no such file, or a line is not ``name: command``.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise FewstepError(f"cannot read {path.resolve()}: {error.strerror}") from error
    processes = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        parts = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(.+)", line)
        if parts is None:
            raise FewstepError(f"{path}: not 'name: command': {line!r}")
        processes[parts[1]] = parts[2]
    return processes


def log_file(var: Path, name: str) -> Path:
    """Where the output of a process, or of the supervisor, goes."""
    return var / "log" / f"{name}.log"


def supervisor_configuration(processes: dict[str, str], *, var: Path, lock: Path, seconds_to_stop: int) -> str:
    """The text of a supervisord configuration.

    Args:
        processes: Commands by process name, first to start and last to stop first.
        var: Absolute folder for logs and the supervisor's pid file.
        lock: File that every process holds a shared lock on while it lives.
        seconds_to_stop: What each process has to finish after SIGTERM, before SIGKILL.
    """

    def quoted(value: object) -> str:
        return str(value).replace("%", "%%")

    sections = [
        SUPERVISOR_SECTION.format(
            log=quoted(log_file(var, SUPERVISOR)),
            pidfile=quoted(var / "supervisor.pid"),
            user="user = root" if os.getuid() == 0 else "",  # said aloud, or it warns of it at every start
        )
    ]
    for priority, (name, command) in enumerate(processes.items(), start=1):
        # When the supervisor itself is killed there is nobody left to stop things in order.
        words = tied_to_parent(shlex.split(command), lock=lock, on_orphaned=signal.SIGKILL)
        sections.append(
            PROGRAM_SECTION.format(
                name=name,
                command=quoted(shlex.join(words)),
                priority=priority,
                log=quoted(log_file(var, name)),
                seconds_to_stop=seconds_to_stop,
            )
        )
    return "\n".join(sections)
