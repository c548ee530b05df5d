"""Many requests at once, and objects as large as the API server takes."""

import concurrent.futures
import unittest
import urllib.error

import objects
import server
import stage
from stage import CANARY, Webhook, is_refused, registered

JUDGE = stage.hook("judge", [stage.rule(["configmaps"], ("CREATE", "UPDATE", "DELETE"))], decide=[
    {"deny": {"nameRegex": ["^denied-"], "message": "{{name}} is denied to {{user}}"}},
    {"deny": {"labelSelector": {"matchLabels": {"verdict": "denied"}}, "message": "the label says no"}},
])
PATH = "/api/v1/namespaces/default/configmaps"


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("load", [JUDGE]))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(objects.config_map("denied-probe"))))

    def create(self, thing: dict, user: str = "customer", path: str = f"{PATH}?dryRun=All", method: str = "POST") -> str:
        """What it was refused for; empty if it was not."""
        try:
            self.cluster.ask(method, path, thing, user)
        except urllib.error.HTTPError as refusal:
            return server.reason_of(refusal)["message"]
        return ""

    def test_many_at_once(self):
        """Each is told of its own object and its own user."""
        names = [f"{'denied' if number % 3 == 0 else 'fine'}-{number}" for number in range(300)]
        users = ("customer", "sre")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            told = list(pool.map(lambda number: self.create(objects.config_map(names[number]), users[number % 2]), range(len(names))))
        for number, (name, message) in enumerate(zip(names, told)):
            denied = f'admission webhook "judge.portcullis.test" denied the request: {name} is denied to {users[number % 2]}'
            self.assertEqual(message, denied if name.startswith("denied") else "")

    def test_objects_of_a_megabyte(self):
        """An update brings both the old object and the new one."""
        large = objects.config_map("large", text=CANARY * 100_000)
        self.assertEqual(self.create(large, path=PATH), "")
        self.addCleanup(self.cluster.kubectl, "delete", "configmap", "large")
        changed = objects.config_map("large", text="9" + CANARY * 100_000)
        self.assertEqual(self.create(changed, path=f"{PATH}/large", method="PUT"), "")
        changed["metadata"]["labels"] = {"verdict": "denied"}
        self.assertIn("the label says no", self.create(changed, path=f"{PATH}/large", method="PUT"))
        self.front.entry(name="large", operation="UPDATE")
        self.assertNotIn(CANARY, self.front.log_path.read_text())


if __name__ == "__main__":
    unittest.main()
