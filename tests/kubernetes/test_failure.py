"""What becomes of requests while Envoy is gone: what the hooks say."""

import unittest

import objects
import stage
from stage import Webhook, is_refused, registered, wait_for

STRICT = stage.hook("strict", [stage.rule(["configmaps"])], decide=[{"deny": {"names": ["denied"], "message": "no"}}])
LENIENT = stage.hook("lenient", [stage.rule(["secrets"])], failurePolicy="Ignore", decide=[{"deny": {"names": ["denied"], "message": "no"}}])


def secret(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}}


class Failure(unittest.TestCase):
    def test_envoy_stops_and_comes_back(self):
        front = self.enterContext(Webhook("failure", [STRICT, LENIENT]))
        refused = [is_refused(objects.config_map("denied")), is_refused(secret("denied"))]
        # The second is refused only while Envoy is there, and both configurations come into force together.
        cluster = self.enterContext(registered(front, refused[1]))
        self.assertTrue(refused[0]())

        front.stop()
        told = cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.config_map("harmless"))
        self.assertIn('failed calling webhook "strict.portcullis.test"', told.stderr)
        self.assertEqual(cluster.kubectl("create", "--dry-run=server", "--filename=-", given=secret("denied")).returncode, 0)

        front.start()
        wait_for("the API server to find Envoy again", refused[1])
        self.assertTrue(refused[0]())
        told = cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.config_map("harmless"))
        self.assertEqual((told.returncode, told.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
