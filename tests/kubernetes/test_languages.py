"""What the articles on admission show, with the articles' own files: Rego, Gatekeeper's constraints and JavaScript, as they are printed."""

import unittest

import objects
from stage import ROOT, Webhook, is_refused, registered
from test_articles import BAD_REPO, Gatekeeper, OpenPolicyAgent, Pipy

SAMPLES = ROOT / "envoy-config" / "admission"


def files(folder: str) -> list:
    return sorted(path for path in (SAMPLES / folder).iterdir() if path.suffix in {".yaml", ".rego", ".js"})


class OwnFiles:
    """The same pods as for our own hooks; who judges them are the files of the article."""

    folder: str

    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook(f"{cls.folder}-own-files", files(cls.folder)))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(BAD_REPO[1])))
        cls.addClassCleanup(cls.cluster.kubectl, "delete", "pod", "web-server", "--ignore-not-found", "--wait=false", "--grace-period=0", "--force")

    def test_what_the_article_leaves_open_is_closed(self):
        """It is open with the article's files."""
        told = self.cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.deployment("x", "nginx:1.21.1"))
        self.assertEqual(told.returncode, 0, told.stderr)


class RegoOfTheArticle(OwnFiles, OpenPolicyAgent):
    folder = "opa"


class JavaScriptOfTheArticle(OwnFiles, Pipy):
    folder = "pipy"


class ConstraintsOfTheArticle(Gatekeeper):
    whole = "whole-too"

    def start(self, is_in_force):
        front = self.enterContext(Webhook("gatekeeper-own-files", files("gatekeeper")))
        return front, self.enterContext(registered(front, is_in_force))


del Gatekeeper, OpenPolicyAgent, Pipy


if __name__ == "__main__":
    unittest.main()
