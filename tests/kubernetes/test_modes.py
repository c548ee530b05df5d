"""Before a webhook of somebody else's: guarding it, and only watching how it would differ from us."""

import json
import unittest

import objects
import stage
from standin import Call, StandIn
from stage import Webhook, is_refused, registered, wait_for

OURS = stage.hook("policy", stage.PODS, decide=[{"deny": {"nameRegex": ["^ours-", "^both-"], "message": "we say no"}}])


def theirs(call: Call) -> dict:
    """Refuses by name too, and warns of what it lets pass."""
    if call.review["name"].startswith(("theirs-", "both-")):
        return {"allowed": False, "status": {"code": 403, "message": "they say no"}}
    return {"allowed": True, "warnings": ["they have seen it"]}


class Guard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = cls.enterClassContext(StandIn(theirs))
        cls.front = cls.enterClassContext(Webhook("guard", [OURS], upstream=cls.upstream.port))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(objects.pod("ours-probe", "nginx:1"))))

    def create(self, name: str) -> str:
        return self.cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.pod(name, "nginx:1")).stderr

    def asked(self) -> list[str]:
        return [call.review["name"] for call in self.upstream.calls]

    def test_who_says_no(self):
        self.assertIn("denied the request: we say no", self.create("ours-1"))
        self.assertIn("denied the request: they say no", self.create("theirs-1"))
        self.assertIn("denied the request: we say no", self.create("both-1"))
        self.assertEqual(self.create("fine-1"), "Warning: they have seen it\n")
        self.assertNotIn("ours-1", self.asked())
        self.assertNotIn("both-1", self.asked())
        self.assertEqual([name for name in self.asked() if name in ("theirs-1", "fine-1")], ["theirs-1", "fine-1"])

    def test_what_reaches_the_other_is_what_the_api_server_sent(self):
        self.create("fine-2")
        call = next(call for call in self.upstream.calls if call.review["name"] == "fine-2")
        self.assertTrue(call.head.startswith(b"POST /policy?timeout=10s HTTP/1.1\r\n"), call.head)
        self.assertIn(b"User-Agent: kube-apiserver-admission\r\n", call.head)

    def test_one_connection_carries_denials_and_answers_in_order(self):
        client = self.front.connect()
        asked = stage.review("pod-create-ok")
        for number in range(50):
            name = ("ours-", "fine-", "theirs-")[number % 3] + "mixed"
            asked["request"] |= {"name": name, "uid": f"uid-{number}"}
            answer = client.ask("/policy", asked)
            self.assertEqual((answer["uid"], answer["allowed"]), (f"uid-{number}", name == "fine-mixed"))

    def test_anonymous_callers_do_not_reach_it(self):
        before = len(self.upstream.calls)
        status, _, _ = self.front.connect(certificate=False).send("POST", "/policy", json.dumps(stage.review("pod-create-ok")).encode())
        self.assertIn(status, (401, 403))
        self.assertEqual(len(self.upstream.calls), before)


class Answers(unittest.TestCase):
    """How others frame their answers: a chunked one, one that tells nothing of its length, one after an interim one."""

    REVIEW = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"%s","allowed":true}}'

    def answer(self, call: Call) -> bytes:
        body = self.REVIEW % call.review["uid"].encode()
        self.number += 1
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
        return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
                b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body))[self.number % 2]

    def test_they_reach_the_api_server(self):
        self.number = 0
        upstream = self.enterContext(StandIn(self.answer))
        front = self.enterContext(Webhook("framing", [OURS], upstream=upstream.port))
        cluster = self.enterContext(registered(front, is_refused(objects.pod("ours-probe", "nginx:1"))))
        for number in range(6):
            told = cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.pod(f"fine-{number}", "nginx:1"))
            self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertEqual(len(upstream.calls), 6)


class Shadow(unittest.TestCase):
    def test_the_other_decides_and_differences_are_told(self):
        upstream = self.enterContext(StandIn(theirs))
        front = self.enterContext(Webhook("shadow", [OURS], upstream=upstream.port, mode="shadow"))
        cluster = self.enterContext(registered(front, is_refused(objects.pod("theirs-probe", "nginx:1"))))

        def create(name: str) -> str:
            return cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.pod(name, "nginx:1")).stderr
        self.assertEqual(create("ours-1"), "Warning: they have seen it\n")
        self.assertIn("they say no", create("theirs-1"))
        self.assertIn("they say no", create("both-1"))
        self.assertEqual(create("fine-1"), "Warning: they have seen it\n")
        asked = [call.review["name"] for call in upstream.calls]
        self.assertEqual([name for name in asked if not name.endswith("probe")], ["ours-1", "theirs-1", "both-1", "fine-1"])
        names = {call.review["uid"]: call.review["name"] for call in upstream.calls}
        differences = lambda: {names[entry["fields"]["uid"]] for entry in front.log() if "upstream" in entry["fields"]}
        wait_for("the differences in the log", lambda: {"ours-1", "theirs-1"} <= differences())
        self.assertFalse({"both-1", "fine-1"} & differences())


if __name__ == "__main__":
    unittest.main()
