"""What Redis answers when it cannot do now what it is asked, of each version and in each guise."""

import pytest
from redis.exceptions import ConnectionError, ResponseError

from core.refusals import AsyncParser, Parser, Refused, reason

OOM = "OOM command not allowed when used memory > 'maxmemory'."
REFUSALS = {
    OOM: "OOM",
    "NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    "READONLY You can't write against a read only replica.": "READONLY",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "UNBLOCKED",
    "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.": "MISCONF",
    "LOADING Redis is loading the dataset in memory": "LOADING",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "BUSY",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "MASTERDOWN",
    "CLUSTERDOWN The cluster is down": "CLUSTERDOWN",
    "NOAUTH Authentication required.": "NOAUTH",
    "WRONGPASS invalid username-password pair or user is disabled.": "WRONGPASS",
    "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    f"{OOM} script: 8f6d5a1c, on @user_script:25.": "OOM",
    f"ERR Error running script (call to f_8f6d5a1c): @user_script:25: @user_script: 25: -{OOM}": "OOM",
}


@pytest.mark.parametrize("parser", [Parser, AsyncParser])
@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_for_now_is_a_lost_connection(parser: type[Parser], answer: str) -> None:
    error = parser.parse_error(answer)
    assert isinstance(error, Refused)
    assert isinstance(error, ConnectionError)
    assert error.code == REFUSALS[answer]
    assert f"({error.code})" in reason(error)
    assert "script" not in reason(error) or error.code == "BUSY"


@pytest.mark.parametrize(
    "answer",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "BUSYGROUP Consumer Group name already exists",
        "BUSYKEY Target key name already exists.",
        "ERR unknown command 'OOM'",
        "ERR Error compiling script (new function): user_script:1: OOM command",
        "EXECABORT Transaction discarded because of previous errors.",
        "NOSCRIPT No matching script.",
        "",
    ],
)
def test_another_error_is_what_it_was(answer: str) -> None:
    error = Parser.parse_error(answer)
    assert isinstance(error, ResponseError)
    assert not isinstance(error, ConnectionError)
    assert reason(error) == "does not answer"
