"""`kubectl fairlead`, as kubectl runs it, and the command line on a replica."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

from cluster import certificates
from cluster.control_plane import ADDRESS, SERVER
from harness import objects, rights
from harness.case import FastCase
from harness.kubelet import Kubelet

NGINX = "nginx.ingress.kubernetes.io/"


class Commands(FastCase):
    """Exit codes and lines for people."""

    def setUp(self) -> None:
        super().setUp()
        (self.work / "kubectl-fairlead").symlink_to(self.binary)

    def plugin(self, *words: str, kubeconfig: pathlib.Path | None = None) -> tuple[int, str, list[str]]:
        """Exit code, output, and the lines of errors of `kubectl fairlead WORDS`."""
        environment = self.cluster.programs.environment(KUBECONFIG=str(kubeconfig or self.cluster.kubeconfig))
        environment["PATH"] = os.pathsep.join([str(self.work), environment["PATH"]])
        return _run(["kubectl", "fairlead", *words], environment)

    def fairlead(self, *words: str) -> tuple[int, str, list[str]]:
        """The same of the binary itself."""
        return _run([str(self.binary), *words], dict(os.environ))

    def user(self, token: str = rights.TOKEN, server: str = SERVER) -> pathlib.Path:
        """A kubeconfig of somebody else."""
        file = self.work / f"user-{len(list(self.work.iterdir()))}"
        return certificates.kubeconfig(file, server, self.cluster.pki / "ca.crt", token)

    def test_check_says_what_the_cluster_means_and_what_is_wrong(self) -> None:
        self.serve("web", "a.example")
        code, said, errors = self.plugin("check", "-n", self.namespace)
        self.assertEqual((code, errors), (0, []), said)
        self.assertIn("a.example", said)
        self.assertEqual(said.splitlines()[-1], "0 errors, 0 warnings")
        marks = {f"{NGINX}proxy-body-size": "8m", f"{NGINX}server-snippet": "x", f"{NGINX}proxy-body-sise": "1m"}
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "wbe", annotations=marks))
        code, said, errors = self.plugin("check", "-n", self.namespace, "-o", "json")
        self.assertEqual((code, errors), (1, []), said)
        report = json.loads(said)
        self.assertEqual((report["errors"], report["warnings"]), (2, 1))
        self.assertEqual(
            {each["reason"] for each in report["problems"]}, {"ServiceNotFound", "SnippetRefused", "AnnotationUnknown"}
        )
        fates = {each["name"].removeprefix(NGINX): each["fate"] for each in report["annotations"]}
        self.assertEqual(
            fates, {"proxy-body-size": "honoured", "server-snippet": "refused", "proxy-body-sise": "ignored"}
        )
        self.assertIn("a.example", {route["host"] for route in report["routes"]})

    def test_check_prints_what_a_replica_serves(self) -> None:
        self.apply(objects.tls_secret(self.namespace, "tls", *objects.certificate(self.work, "a.example")))
        self.serve("web", "a.example", tls="tls")
        self.apply(objects.ingress(self.namespace, "more", "b.example", "web", ["/x", "/y"]))
        fairlead = self.controller()
        _, said, _ = self.plugin("check")
        self.assertTrue(said.startswith(fairlead.config()), f"{said}\n---\n{fairlead.config()}")

    def test_check_with_the_rights_of_a_reader_of_one_namespace_says_what_is_missing(self) -> None:
        self.serve("web", "a.example")
        self.api.delete({"kind": "ClusterRoleBinding", "metadata": {"name": rights.USER}})
        code, _, errors = self.plugin("check", kubeconfig=self.user())
        self.assertEqual((code, len(errors)), (1, 1), errors)
        self.assertIn("ingresses", errors[0])
        self.apply(*rights.inside(self.namespace))
        code, said, errors = self.plugin("check", "-n", self.namespace, kubeconfig=self.user())
        self.assertIn("WatchForbidden", said)
        self.assertIn("ingressclasses", said)

    def test_no_cluster_and_a_wrong_kubeconfig_are_one_line(self) -> None:
        empty = self.work / "empty"
        empty.write_text("apiVersion: v1\nkind: Config\n")
        broken = self.work / "broken"
        broken.write_text("{")
        for what, words, kubeconfig, code in (
            ("nobody listens", (), self.user(server="https://127.0.0.1:1"), 1),
            ("nobody knows the token", (), self.user(token="other"), 1),
            ("no such context", ("--context", "other"), self.user(), 2),
            ("no such file", ("--kubeconfig", str(self.work / "nowhere")), self.user(), 2),
            ("no YAML", ("--kubeconfig", str(broken)), self.user(), 2),
        ):
            for command in ("check", "routes"):
                with self.subTest(what, command=command):
                    got, said, errors = self.plugin(command, *words, kubeconfig=kubeconfig)
                    self.assertEqual((got, len(errors)), (code, 1), f"{said} {errors}")
                    self.assertTrue(errors[0].startswith("kubectl fairlead: "), errors)

    def test_without_a_replica_that_can_be_asked_one_line_says_why(self) -> None:
        for command in ("routes", "backends", "certificates", "problems"):
            code, _, errors = self.plugin(command)
            self.assertEqual((code, len(errors)), (1, 1), errors)
            self.assertIn("is Fairlead installed there?", errors[0])
        pod = self.pod("fairlead-1")
        code, _, errors = self.plugin("routes")
        self.assertEqual((code, len(errors)), (1, 1), errors)
        self.assertIn("none of the 1 Pods of Fairlead runs", errors[0])
        self.api.merge(pod, {"status": pod["status"]}, "status")
        code, _, errors = self.plugin("explain", "http://a.example/")
        self.assertEqual((code, len(errors)), (2, 1), errors)
        self.assertIn("fairlead/fairlead-1 cannot be asked", errors[0])
        code, _, errors = self.plugin("routes", "--pod", "other")
        self.assertIn("there are fairlead/fairlead-1", errors[0])

    def pod(self, name: str, on: str = "nowhere") -> dict:
        """A Pod with the labels of the chart, of which nobody said yet that it runs."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        labels = {"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/component": "controller"}
        pod = objects.pod(rights.NAMESPACE, name, on, labels)
        self.apply({**account, "metadata": {"namespace": rights.NAMESPACE, "name": "default"}}, pod)
        return pod

    def test_every_replica_is_asked_through_the_api_server_and_a_difference_is_told(self) -> None:
        kubelet = Kubelet(self.cluster.pki)
        self.addCleanup(kubelet.close)
        node = objects.node("kubelet", ("InternalIP", ADDRESS))
        node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet.port}}
        self.apply(node)
        self.api.merge(node, {"status": node["status"]}, "status")
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "wbe"))
        for number in (1, 2):
            self.controller()
            pod = self.pod(f"fairlead-{number}", "kubelet")
            self.api.merge(pod, {"status": pod["status"]}, "status")
        for words, part in (
            (("routes",), f"{self.namespace}/web:http"),
            (("backends",), "10.244.1.1:8080"),
            (("problems",), "ServiceNotFound"),
            (("explain", "http://a.example/"), "→ 200"),
            (("routes", "-o", "json"), '"host": "a.example"'),
        ):
            with self.subTest(" ".join(words)):
                code, said, errors = self.plugin(*words)
                self.assertEqual((code, errors), (0, []), said)
                self.assertIn(part, said)
                self.assertNotIn("# fairlead/", said, "they agree, so one answer is printed")
        # Each made a default certificate of its own.
        code, said, errors = self.plugin("certificates", "--pod", "fairlead-2")
        self.assertEqual((code, errors), (0, []), said)
        self.replicas[1].kill()
        code, said, errors = self.plugin("routes")
        self.assertEqual((code, len(errors)), (1, 1), errors)
        self.assertIn("fairlead/fairlead-2", errors[0])
        self.assertIn("a.example", said, "the other answers")
        other = self.controller("--watch-namespace", "default", start=False)
        other.arguments = [word.replace("127.0.1.3", "127.0.1.2") for word in other.arguments]
        other.address = "127.0.1.2"
        other.start()
        code, said, errors = self.plugin("routes")
        self.assertEqual((code, len(errors)), (1, 1), errors)
        self.assertIn("the replicas disagree: fairlead/fairlead-1 against fairlead/fairlead-2", errors[0])
        self.assertIn("# fairlead/fairlead-1", said)

    def test_a_replica_is_asked_at_its_admin_address(self) -> None:
        self.apply(objects.tls_secret(self.namespace, "tls", *objects.certificate(self.work, "a.example")))
        self.serve("web", "a.example", tls="tls")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "wbe"))
        self.apply(objects.ingress(self.namespace, "theirs", "c.example", "web", class_name="nowhere"))
        fairlead = self.controller()
        admin = ("--admin", f"{fairlead.address}:10246")
        for words, code, parts in (
            (("routes",), 0, ["a.example", f"{self.namespace}/web:http", f"ingress {self.namespace}/web"]),
            (("backends",), 0, [f"{self.namespace}/web:http", "10.244.1.1:8080", "ready"]),
            (("certificates",), 0, ["a.example", f"{self.namespace}/tls"]),
            (("problems",), 0, ["ServiceNotFound", "ClassNotFound"]),
            (("explain", "https://a.example/x"), 0, ["→ 200", "why:", f"{self.namespace}/web:http"]),
            (("explain", "http://b.example/"), 1, ["→ 503", "none is ready"]),
            (("explain", "http://c.example/"), 1, ["→ 404", "not considered:", f"{self.namespace}/theirs"]),
        ):
            with self.subTest(" ".join(words)):
                got, said, errors = self.fairlead(*words, *admin)
                self.assertEqual((got, errors), (code, []), said)
                for part in parts:
                    self.assertIn(part, said)


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, str, list[str]]:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()
