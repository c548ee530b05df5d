"""The bootstrap that an operator copies carries traffic, with nothing changed but addresses, ports and paths."""

import unittest

import stage
import wire
from stage import CANARY, HEADQUARTERS, OUTPOST, Front, harness, rig, wait_for

try:
    from cassandra import Unauthorized
    from python_work import session
except ImportError as missing:
    raise unittest.SkipTest(f"tools/fetch-cassandra-clients could not get the Python driver: {missing}") from missing

ENVOYS = "127.0.0.31"


class Sample(unittest.TestCase):
    def test_it_carries_traffic_and_drivers_stay_before_it(self):
        folder = harness.scratch_folder("sample")
        # On the same port as Cassandra, at the address that Cassandra tells drivers.
        server = stage.SERVERS.start("sample", broadcast=ENVOYS)
        self.addCleanup(stage.SERVERS.stop, "sample")
        stage.build_empire(server)
        identities = folder / "identities.yaml"
        harness.write_json(identities, {"identities": [{"address": "127.0.0.1", "labels": OUTPOST}]})
        text = rig.fill_in(harness.SAMPLES / "cassandra.yaml", {
            "192.0.2.10, port_value: 9042": f"{ENVOYS}, port_value: {server.port}", "127.0.0.1, port_value: 9042": f"127.0.0.1, port_value: {server.port}",
            "port_value: 9901": "port_value: 0", "/etc/portcullis/policies": str(stage.POLICIES), "/etc/portcullis/identities.yaml": str(identities),
            "/var/log/portcullis.jsonl": str(folder / "access.jsonl")})
        proxy = self.enterContext(rig.Envoy(harness.envoy(), text, folder))
        with session(server.port, contact=ENVOYS) as outpost:
            hosts = [host.endpoint.address for host in outpost.cluster.metadata.all_hosts()]
            self.assertEqual(hosts, [ENVOYS], "the driver goes where Cassandra says, which is to Envoy")
            outpost.execute(f"INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), '{CANARY}')")
            with self.assertRaises(Unauthorized):
                outpost.execute("SELECT * FROM attendance.daily_records")
        denied = next(line for line in proxy.admin("/stats/prometheus").splitlines() if 'verdict="denied"' in line and 'l7proto="cassandra"' in line)
        self.assertRegex(denied, r'^envoy_portcullis_requests\{.*\} 1$')
        logged = lambda: [entry for entry in harness.read_json_lines(folder / "access.jsonl") if entry["type"] == "request"]
        entry = wait_for("the denial in the access log", logged)[0]
        self.assertEqual((entry["fields"]["query_action"], entry["fields"]["query_table"]), ("select", "attendance.daily_records"))

        with self.subTest("headquarters, by a change of the identities"):
            harness.write_json(identities, {"identities": [{"address": "127.0.0.1", "labels": HEADQUARTERS}]})

            def may_read():
                with session(server.port, contact=ENVOYS) as somebody:
                    try:
                        return somebody.execute("SELECT scroll FROM deathstar.plans WHERE id = 1").one().scroll
                    except Unauthorized:
                        return None
            self.assertEqual(wait_for("the new identities", may_read), CANARY)


class Refusals(unittest.TestCase):
    def test_a_server_that_is_gone(self):
        """The client hears that there is nobody, and nothing else."""
        front = self.enterContext(Front("server-gone", {"all": stage.ALLOW_ALL}, self.enterContext(harness.ServerGone())))
        with wire.Wire(front.ports["all"], startup=False) as peer:
            self.assertTrue(peer.closed())


if __name__ == "__main__":
    unittest.main()
