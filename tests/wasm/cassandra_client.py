"""The Python driver's work through a port, for tests/wasm/test_cassandra.py: run by the Python that has the driver.

    cassandra_client.py work PORT VERSION COMPRESSION      all that the driver does, against what Cassandra itself says
    cassandra_client.py denied PORT VERSION COMPRESSION    what is denied is refused, in any number and among what is not
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cassandra"))

from cassandra import Unauthorized  # noqa: E402  (the path above comes first)
from python_work import Work, session  # noqa: E402


def main() -> None:
    what, port, version, compression = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    compression = None if compression == "plain" else compression
    with session(port, version, compression) as connected:
        assert connected.cluster.protocol_version == version
        if what == "work":
            done = Work(connected, port, version, compression).do()
            assert done == Work.WANTED, f"{done} instead of {Work.WANTED}"
        else:
            denied(connected)
    print("well done")


def denied(connected) -> None:
    reads = "SELECT release_version FROM system.local"
    denials = ["DROP KEYSPACE system_auth", "SELECT * FROM system_auth.roles", "TRUNCATE nothing.here"]
    for _ in range(3):
        for statement in denials:
            refused(connected.execute_async(statement))
        assert connected.execute(reads).one()
    # Many under way at a time: each gets its own answer.
    futures = [(statement, connected.execute_async(statement)) for statement in [*denials, reads] * 50]
    for statement, future in futures:
        if statement == reads:
            assert future.result().one()
        else:
            refused(future)
    for _ in range(3):
        try:
            connected.prepare(denials[1])
        except Unauthorized:
            continue
        raise AssertionError("prepared what is denied")


def refused(future) -> None:
    try:
        future.result()
    except Unauthorized:
        return
    raise AssertionError("passed what is denied")


if __name__ == "__main__":
    main()
