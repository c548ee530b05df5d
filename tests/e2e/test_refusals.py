"""Configurations that must not come into force: Envoy refuses them, our log line says where to look, nothing crashes."""

import re
import subprocess
import unittest

import harness
from harness import ALLOW_ALL, DENIED, FLEET, Stand, bootstrap, listener, portcullis, rig, scratch_folder, tcp_proxy, wait_for, write_json

GOOD_POLICY = ALLOW_ALL.read_text()


def mend(policy: str, old: str, new: str) -> str:
    assert old in policy, old
    return policy.replace(old, new, 1)


# name, changes to the configuration, text of the policy file (None: no such file), where in that text it is wrong (None: nowhere), what
# the log line has to say besides file and line
REFUSED = [
    ("unknown-protocol", {"protocol": "nonesuch"}, GOOD_POLICY, None, ["`nonesuch`", "protocol"]),
    ("unknown-key", {"polciy": {}}, GOOD_POLICY, None, ["`polciy`"]),
    ("unknown-nested-key", {"accessLog": {"path": "stderr", "volume": 11}}, GOOD_POLICY, None, ["`volume`"]),
    ("no-policy", {"policy": {}}, GOOD_POLICY, None, ["policy"]),
    ("bad-direction", {"direction": "sideways"}, GOOD_POLICY, None, ["sideways"]),
    ("bad-default", {"default": "maybe"}, GOOD_POLICY, None, ["maybe"]),
    ("bad-type", {"port": "many"}, GOOD_POLICY, None, ["many"]),
    ("port-out-of-range", {"port": 70000}, GOOD_POLICY, None, ["70000"]),
    ("bad-protocol-config", {"protocolConfig": {"nonesuch": 1}}, GOOD_POLICY, None, ["`nonesuch`"]),
    ("bad-limit", {"limits": {"nonesuch": 1}}, GOOD_POLICY, None, ["`nonesuch`"]),
    ("bad-log-level", {"accessLog": {"path": "stderr", "level": "loud"}}, GOOD_POLICY, None, ["loud"]),
    ("unwritable-log", {"accessLog": {"path": "/nonexistent/access.jsonl"}}, GOOD_POLICY, None, ["/nonexistent/access.jsonl"]),
    ("lookup-without-identities", {"endpoint": "lookup", "identities": None}, GOOD_POLICY, None, ["`lookup`", "identities"]),
    ("bad-endpoint", {"endpoint": "guess"}, GOOD_POLICY, None, ["guess"]),
    ("bad-label", {"endpoint": {"labels": {"app": 7}}}, GOOD_POLICY, None, ["app"]),
    ("bad-limit-value", {"limits": {"heldBytes": -1}}, GOOD_POLICY, None, ["-1", "heldBytes"]),
    ("bad-inline", {"policy": {"inline": "kind: Nonsense"}}, GOOD_POLICY, None, ["inline", "Nonsense"]),
    ("bad-directory", {"policy": {"directory": "/nonexistent/policies"}}, GOOD_POLICY, None, ["/nonexistent/policies"]),
    ("missing-file", {}, None, None, ["policy.yaml"]),
    ("missing-identities", {"identities": "/nonexistent/identities.yaml"}, GOOD_POLICY, None, ["/nonexistent/identities.yaml"]),
    ("not-yaml", {}, "a: [1, 2\nb: }\n", "}", []),
    ("not-a-policy", {}, "hello\n", "hello", []),
    ("unknown-field", {}, mend(GOOD_POLICY, "- toPorts", "- toPort"), "- toPort:", ["toPort`"]),
    ("unsupported-field", {}, mend(GOOD_POLICY, "- toPorts:", "- icmps: []\n    toPorts:"), "icmps", ["icmps"]),
    ("unknown-rule-key", {}, mend(GOOD_POLICY, "- {}", "- comand: get"), "comand", ["`comand`"]),
    ("unknown-command", {}, mend(GOOD_POLICY, "- {}", "- command: gett"), "gett", ["`gett`"]),
    ("key-without-command", {}, mend(GOOD_POLICY, "- {}", "- keyPrefix: a"), "keyPrefix", ["command"]),
    ("bad-regex", {}, mend(GOOD_POLICY, "- {}", "- {command: get, keyRegex: '(a'}"), "(a", ["`(a`"]),
    ("bad-kind", {}, mend(GOOD_POLICY, "kind: CiliumNetworkPolicy", "kind: NetworkPolicy"), "apiVersion", ["`NetworkPolicy`"]),
    ("bad-port", {}, mend(GOOD_POLICY, '"11211"', '"112110"'), "112110", ["112110"]),
    ("duplicate-key", {}, GOOD_POLICY + "kind: CiliumNetworkPolicy\n", None, ["policy.yaml", "kind"]),
]


class Refused(unittest.TestCase):
    """One case per entry of REFUSED, made below."""

    def refuse(self, name: str, changes: dict, policy: str | None, wrong: str | None, says: list[str]):
        folder = scratch_folder(f"refused-{name}")
        if policy is not None:
            (folder / "policy.yaml").write_text(policy)
        write_json(folder / "identities.yaml", harness.IDENTITIES)
        config = {"protocol": "memcache", "policy": {"files": [str(folder / "policy.yaml")]}, "endpoint": {"labels": {"app": "memcached"}},
                  "direction": "ingress", "port": 11211, "identities": str(folder / "identities.yaml"), **changes}
        config = {key: value for key, value in config.items() if value is not None}
        where = []
        if wrong:
            line = next(number for number, text in enumerate(policy.splitlines(), 1) if wrong in text)
            where = [rf"policy\.yaml\b.*\b{line}\b"]
        self.expect_refusal(folder, config, where + [re.escape(text) for text in says])

    def expect_refusal(self, folder, config, names):
        write_json(folder / "envoy.json", bootstrap([listener("front", [portcullis(config), tcp_proxy()])], 9))
        for mode in (["--mode", "validate"], []):
            with self.subTest(mode=mode):
                status, log = run_envoy(folder / "envoy.json", mode)
                (folder / f"{'validate' if mode else 'serve'}.log").write_text(log)
                self.assertNotEqual(status, None, "Envoy accepted it, and serves")
                self.assertEqual(status, 1, "Envoy refuses with status 1; a negative status is the signal of a crash")
                ours = [line for line in log.splitlines() if "dynamic_modules" in line and "portcullis" in line and re.search(r"\[(error|critical)\]", line)]
                self.assertTrue(ours, "no error line of ours in the log")
                self.assertTrue(any(all(re.search(name, line) for name in names) for line in ours), f"no line names all of {names}: {ours}")
                self.assertNotIn("panicked", log)

    def test_text_that_is_no_json(self):
        twice = '{"protocol": "memcache", "protocol": "r2d2"}'
        for number, (text, names) in enumerate({twice: ["protocol"], "": [], "{": [r"line|column|EOF"], "[]": [], '{"protocol": "memcache",}': [r"line|column"], "\x00": []}.items()):
            with self.subTest(text=text):
                self.expect_refusal(scratch_folder(f"refused-text-{number}"), text, names)

    def test_good_configurations_validate(self):
        for policy in sorted((harness.SAMPLES / "policies").glob("*.yaml")):
            with self.subTest(policy=policy.name):
                protocol, app = ("r2d2", "r2d2") if "r2d2" in policy.name else ("memcache", "memcached")
                folder = scratch_folder(f"accepted-{policy.stem}")
                config = {"protocol": protocol, "policy": {"files": [str(policy)]}, "endpoint": {"labels": {"app": app}}, "direction": "ingress"}
                write_json(folder / "envoy.json", bootstrap([listener("front", [portcullis(config), tcp_proxy()])], 9))
                status, log = run_envoy(folder / "envoy.json", ["--mode", "validate"])
                self.assertEqual(status, 0, log)


NOTHING_SELECTS = r"no policy|no policies|selects"


class Warned(unittest.TestCase):
    """What is legal and most likely not meant is said when it comes into force: nobody gets through, and the log says why."""

    def expect_warning(self, name: str, policy: str, pattern: str, **config) -> None:
        path = scratch_folder(f"warned-{name}-policy") / "policy.yaml"
        path.write_text(policy)
        stand = self.enterContext(Stand(f"warned-{name}", [path], **config))
        try:
            stand.connect("jedi").ask(b"get a\r\n", DENIED)
        finally:
            ours = [line for line in stand.envoy.log().splitlines() if "portcullis" in line and re.search(r"\[(warning|error)\]", line)]
            self.assertTrue(any(re.search(pattern, line) for line in ours), f"no warning says `{pattern}`: {ours}")

    def test_no_policy_at_all(self):
        self.expect_warning("no-policy", "", NOTHING_SELECTS)

    def test_no_policy_for_this_endpoint(self):
        self.expect_warning("other-endpoint", GOOD_POLICY, NOTHING_SELECTS, labels={"app": "other"})

    def test_policies_for_another_protocol(self):
        self.expect_warning("other-protocol", GOOD_POLICY.replace("l7proto: memcache", "l7proto: r2d2"), "r2d2")

    def test_policies_for_another_port(self):
        stand = self.enterContext(Stand("other-port", [ALLOW_ALL], port=11212))
        stand.connect("jedi").ask(b"get a\r\n", DENIED)


def run_envoy(config, options: list[str]) -> tuple[int | None, str]:
    """The exit status and the log of an Envoy that is expected to end by itself; no status if it does not."""
    command = [harness.envoy(), "-c", config, "--disable-hot-restart", "--concurrency", "1", *options]
    environment = {"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(rig.LIBRARY_DIR)}
    try:
        told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=rig.PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace")
    return told.returncode, told.stdout


def make_case(entry):
    return lambda self: self.refuse(*entry)


for entry in REFUSED:
    setattr(Refused, "test_" + entry[0].replace("-", "_"), make_case(entry))


class Update(unittest.TestCase):
    def test_a_bad_listener_update_leaves_the_good_one_serving(self):
        stand = self.enterContext(Stand("update", [FLEET]))
        folder = stand.folder / "lds"
        folder.mkdir()
        lds = folder / "lds.json"

        def publish(version: str, config: dict) -> None:
            front = {"@type": harness.TYPE + "envoy.config.listener.v3.Listener", **listener("front", [portcullis(config), tcp_proxy()])}
            write_json(lds, {"version_info": version, "resources": [front]})

        publish("1", stand.config)
        envoy = self.enterContext(rig.Envoy(harness.envoy(), bootstrap([], stand.server.port, lds), folder))
        wait_for("the first listener", lambda: envoy.stats()["listener_manager.total_listeners_active"] == 1)
        wire = self.enterContext(harness.Wire(envoy.port_of("front"), "monitoring"))
        wire.ask(b"get empire/plans\r\n", DENIED)
        publish("2", {**stand.config, "protocol": "nonesuch"})
        wait_for("the refusal", lambda: envoy.stats()["listener_manager.lds.update_rejected"] == 1)
        wire.ask(b"get empire/plans\r\nget alliance/fleet/none\r\n", DENIED + b"END\r\n")
        self.enterContext(harness.Wire(envoy.port_of("front"), "monitoring")).ask(b"get empire/plans\r\n", DENIED)
        publish("3", {**stand.config, "policy": {"files": [str(ALLOW_ALL)]}})
        wait_for("the better listener", lambda: envoy.stats()["listener_manager.lds.update_success"] == 2)

        def allowed():
            with harness.Wire(envoy.port_of("front"), "monitoring") as other:
                return other.send(b"get empire/plans\r\n").take(5) == b"END\r\n"
        wait_for("the new policy on new connections", allowed)


if __name__ == "__main__":
    unittest.main()
