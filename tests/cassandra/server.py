#!/usr/bin/env python3
"""A real Cassandra of one node, with little memory, in a folder of its own.

    python3 tests/cassandra/server.py [--folder FOLDER] [--port PORT] [--auth]      for a person: runs it until Ctrl-C

What it takes to start `cassandra-all` from its jars alone, which carry neither scripts nor configuration:

* a `cassandra.yaml` (below). Keys it does not know are an error, durations and sizes need their units, and seeds carry no port.
* a `logback.xml`; without one it logs at DEBUG. The audit log is a logger of its own, `org.apache.cassandra.audit`, that goes to a file.
* the module exports and opens of Java 17, and jamm as an agent: without them the JVM ends in words that do not say so.
* `cassandra.ring_delay_ms=0` and `skip_wait_for_gossip_to_settle=0`, or the start takes half a minute more.
* no JMX: neither of its two ports is set.

The audit log (`FileAuditLogger`, a line of text for each statement) is the tests' second witness. It must leave out no keyspace: as
Cassandra comes, `system`, `system_schema` and `system_virtual_schema` are left out, and an empty `excluded_keyspaces` means just that
too; a name that no keyspace has does it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))

import rig  # noqa: E402  (the path above comes first)

# Enough for a node whose tables hold a few tens of MiB; the JVM takes about 250 MiB beside it.
HEAP = "512m"

EXPORTS = """java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi
    java.management/com.sun.jmx.remote.security java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc
    jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach""".split()
OPENS = """java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect
    java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch java.base/java.io
    java.base/java.lang.reflect java.base/java.lang java.base/java.util java.base/java.nio jdk.management/com.sun.management.internal
    jdk.compiler/com.sun.tools.javac""".split()

CASSANDRA_YAML = """\
cluster_name: portcullis
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
broadcast_rpc_address: {broadcast}
storage_port: {storage_port}
ssl_storage_port: {ssl_storage_port}
start_native_transport: true
native_transport_port: {port}
seed_provider:
- class_name: org.apache.cassandra.locator.SimpleSeedProvider
  parameters:
  - seeds: 127.0.0.1
data_file_directories: [{data}/data]
commitlog_directory: {data}/commitlog
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 10s
# A mutation may be half as large: cells of 10 MB need this.
commitlog_segment_size: 32MiB
auto_snapshot: false
memtable_allocation_type: heap_buffers
disk_access_mode: standard
concurrent_reads: 8
concurrent_writes: 8
materialized_views_enabled: true
user_defined_functions_enabled: true
sasi_indexes_enabled: true
# Low, so that a test of warnings need not write much.
batch_size_warn_threshold: 5KiB
batch_size_fail_threshold: 4096KiB
tombstone_warn_threshold: 100
authenticator: {authenticator}
authorizer: {authorizer}
role_manager: CassandraRoleManager
audit_logging_options:
  enabled: true
  logger:
  - class_name: FileAuditLogger
  excluded_keyspaces: nothing_is_left_out
"""

# The audit log in a file of its own, one line for each entry whatever the statement holds.
LOGBACK_XML = r"""<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{{HH:mm:ss.SSS}} %-5level %logger{{20}} %msg%n</pattern></encoder>
  </appender>
  <appender name="audit" class="ch.qos.logback.core.FileAppender">
    <file>{audit}</file>
    <encoder><pattern>%replace(%msg){{'[\r\n]','␊'}}%n</pattern></encoder>
  </appender>
  <logger name="org.apache.cassandra.audit" level="INFO" additivity="false"><appender-ref ref="audit"/></logger>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


class Cassandra(rig.Process):
    """A real Cassandra on a free port, or on `port`; it is there when it accepts connections.

    `auth` asks for passwords and checks rights; `broadcast` is the address that it tells drivers.
    """

    def __init__(self, folder: Path, *, auth: bool = False, port: int | None = None, broadcast: str = "127.0.0.1"):
        class_path = rig.fetch("fetch-cassandra").read_text().strip()
        self.port = port or rig.free_port()
        self.audit_path = folder / "audit.log"
        data = folder / "data"
        data.mkdir()
        (folder / "logback.xml").write_text(LOGBACK_XML.format(audit=self.audit_path))
        (folder / "cassandra.yaml").write_text(CASSANDRA_YAML.format(
            port=self.port, broadcast=broadcast, storage_port=rig.free_port(), ssl_storage_port=rig.free_port(), data=data,
            authenticator="PasswordAuthenticator" if auth else "AllowAllAuthenticator",
            authorizer="CassandraAuthorizer" if auth else "AllowAllAuthorizer"))
        super().__init__("cassandra", java(folder, class_path, data), folder)
        try:
            self.wait_until("it accepted connections", lambda: rig.listening(self.port))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """It has nothing to save, and would take seconds to end by itself."""
        self.child.kill()
        return self.child.wait()


def java(folder: Path, class_path: str, data: Path) -> list:
    jamm = next(jar for jar in class_path.split(":") if "/jamm-" in jar)
    properties = {
        "cassandra.config": f"file://{folder}/cassandra.yaml", "cassandra.storagedir": data, "cassandra-foreground": "yes",
        "logback.configurationFile": folder / "logback.xml", "java.io.tmpdir": data, "cassandra.ring_delay_ms": 0,
        "cassandra.skip_wait_for_gossip_to_settle": 0, "cassandra.superuser_setup_delay_ms": 0, "cassandra.unsafesystem": "true",
        "jdk.attach.allowAttachSelf": "true", "io.netty.tryReflectionSetAccessible": "true", "java.awt.headless": "true"}
    return ["java", f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=256m", "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData", "-Xshare:auto", f"-javaagent:{jamm}",
            *(f"-D{name}={value}" for name, value in properties.items()),
            *(part for name in EXPORTS for part in ("--add-exports", f"{name}=ALL-UNNAMED")),
            *(part for name in OPENS for part in ("--add-opens", f"{name}=ALL-UNNAMED")),
            "-cp", class_path, "org.apache.cassandra.service.CassandraDaemon"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="an empty folder to keep everything in (a temporary one)")
    parser.add_argument("--port", type=int, help="the port to listen on (a free one)")
    parser.add_argument("--auth", action="store_true", help="ask for passwords (cassandra, cassandra) and check rights")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (chosen.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with Cassandra(folder, auth=chosen.auth, port=chosen.port) as server:
            print(f"Cassandra listens on 127.0.0.1:{server.port}; audit log {server.audit_path}", flush=True)
            try:
                server.child.wait()
            except KeyboardInterrupt:
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
