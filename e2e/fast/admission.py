"""The admission webhook, asked by a real API server: refusals, warnings, its own certificate, what never blocks."""

from __future__ import annotations

import base64
import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import time

from harness import objects, rights
from harness.case import FastCase
from harness.controller import Controller
from harness.proxy import Proxy

NAME, PORT = "fairlead-admission", 9443
# In the fast half nothing answers for a Service, so the webhook itself listens on the Service's address.
ADDRESS = "10.96.77.77"
HOST = f"{NAME}.{rights.NAMESPACE}.svc"
NGINX = "nginx.ingress.kubernetes.io/"
SNIPPET = {f"{NGINX}server-snippet": "if ($host) { return 200; }"}
# How often the controller looks after its certificate.
LOOK_SECONDS = 10


class Admission(FastCase):
    """The configuration as the chart makes it, with an empty Secret for the certificate."""

    def setUp(self) -> None:
        super().setUp()
        subprocess.run(["ip", "addr", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
        service = objects.service(rights.NAMESPACE, NAME)
        service["spec"] |= {"clusterIP": ADDRESS, "ports": [{"name": "https-webhook", "port": PORT}]}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": rights.NAMESPACE, "name": NAME}}
        self.apply(objects.ingress_class(), *rights.webhook(NAME, NAME), service, secret)

    def configured(self, seconds: int = 10) -> dict:
        """The ValidatingWebhookConfiguration, without an authority."""
        return {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": NAME},
            "webhooks": [{
                "name": "validate.ingress.fairlead.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "matchPolicy": "Equivalent", "failurePolicy": "Ignore", "timeoutSeconds": seconds,
                "clientConfig": {"service": {
                    "name": NAME, "namespace": rights.NAMESPACE, "port": PORT, "path": "/networking/v1/ingresses",
                }},
                "rules": [{
                    "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["ingresses"],
                }],
            }],
        }  # fmt: skip

    def webhook(self, *flags: str, proxy: Proxy | None = None, address: str = ADDRESS) -> Controller:
        """A replica with the webhook on."""
        own = ("--validating-webhook-configuration", NAME, "--validating-webhook-secret", f"{rights.NAMESPACE}/{NAME}")
        return self.controller("--validating-webhook", f"{address}:{PORT}", *own, *flags, proxy=proxy)

    def asked(self, *flags: str, seconds: int = 10) -> Controller:
        """A replica that the API server asks."""
        self.apply(self.configured(seconds))
        fairlead = self.webhook(*flags)
        self.eventually(self.is_asked, 20, "the API server asks the webhook")
        return fairlead

    def is_asked(self) -> bool:
        """Whether an Ingress that is to be refused is refused."""
        made = objects.ingress(self.namespace, "is-asked", "is-asked.example", "web", annotations=SNIPPET)
        return "SnippetRefused" in self.kubectl_apply(made, "--dry-run=server")

    def kubectl_apply(self, made: dict, *flags: str) -> str:
        """What kubectl says, warnings and refusals included."""
        place = ("-n", made["metadata"]["namespace"])
        return self.kubectl("apply", *place, *flags, "-f", "-", stdin=json.dumps(made), check=False)

    def authority(self) -> str:
        """The authorities that the API server believes, PEM."""
        told = self.api.get("ValidatingWebhookConfiguration", None, NAME)["webhooks"][0]["clientConfig"]
        return base64.b64decode(told.get("caBundle", "")).decode()

    def believed(self, address: str = ADDRESS) -> bytes | None:
        """The certificate that a replica serves, if the API server believes it now."""
        authority = self.authority()
        if not authority:
            return None
        trust = ssl.create_default_context(cadata=authority)
        try:
            with trust.wrap_socket(socket.create_connection((address, PORT), 5), server_hostname=HOST) as stream:
                return stream.getpeercert(True)
        except OSError:
            return None

    def test_kubectl_says_why_an_ingress_is_refused_and_nothing_is_stored(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.asked()
        bad = objects.ingress(self.namespace, "bad", "b.example", "web", annotations=SNIPPET)
        said = self.kubectl_apply(bad)
        self.assertIn('admission webhook "validate.ingress.fairlead.dev" denied the request', said)
        self.assertIn(f"metadata.annotations[{NGINX}server-snippet]", said)
        self.assertIn("SnippetRefused", said)
        self.assertIsNone(self.api.find("Ingress", self.namespace, "bad"))
        resource = objects.ingress(self.namespace, "bad", "b.example", "web")
        resource["spec"]["rules"][0]["http"]["paths"][0]["backend"] = {
            "resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}
        }
        self.assertIn("ResourceBackend", self.kubectl_apply(resource))
        changed = objects.ingress(self.namespace, "web", "a.example", "web", ["/x"], annotations=SNIPPET)
        self.assertIn("SnippetRefused", self.kubectl_apply(changed))
        self.assertEqual(fairlead.get("a.example").pod, "web", "the Ingress is served as it was")

    def test_kubectl_shows_warnings_and_the_ingress_is_stored(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.asked()
        other = self.make_namespace("admission-other")
        older = f"{self.namespace}/web"
        for name, made, expected in (
            ("a Service that is missing", objects.ingress(self.namespace, "n1", "n1.example", "wbe"), ["wbe", "web"]),
            ("the host and path of an older Ingress", objects.ingress(other, "n2", "a.example", "web"), [older]),
            ("an annotation that nobody knows",
             objects.ingress(self.namespace, "n3", "n3.example", "web", annotations={f"{NGINX}proxy-body-sise": "1m"}),
             ["AnnotationUnknown", "proxy-body-size"]),
            ("a value that cannot be read",
             objects.ingress(self.namespace, "n4", "n4.example", "web", annotations={f"{NGINX}proxy-body-size": "x"}),
             ["AnnotationInvalid"]),
            ("a class that is missing",
             objects.ingress(self.namespace, "n5", "n5.example", "web", class_name="nowhere"), ["ClassNotFound"]),
        ):  # fmt: skip
            with self.subTest(name):
                said = self.kubectl_apply(made)
                warned = [line for line in said.splitlines() if line.startswith("Warning: ")]
                for word in expected:
                    self.assertTrue(any(word in line for line in warned), f"{word} in {said}")
                metadata = made["metadata"]
                self.assertIsNotNone(self.api.find("Ingress", metadata["namespace"], metadata["name"]))
        self.assertEqual(fairlead.get("a.example").pod, "web")

    def test_a_good_ingress_passes_in_silence_and_its_secret_is_not_read_for_it(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.tls_secret(self.namespace, "tls", *objects.certificate(self.work, "b.example")))
        self.asked()
        before = self.cluster.audit.stat().st_size
        good = objects.ingress(self.namespace, "good", "b.example", "web", tls="tls")
        said = self.kubectl_apply(good, "--dry-run=server")
        self.assertEqual(said.split()[1:], ["created", "(server", "dry", "run)"])
        generated = objects.ingress(self.namespace, "x", "c.example", "web")
        generated["metadata"] = {"namespace": self.namespace, "generateName": "made-"}
        said = self.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(generated), check=False)
        self.assertNotIn("Warning", said)
        with self.cluster.audit.open() as log:
            log.seek(before)
            ours = [line for line in log if f'"username":"{rights.USER}"' in line]
        self.assertEqual([line for line in ours if "/secrets/tls" in line or '"verb":"list"' in line], [])

    def test_what_is_not_ours_is_not_judged(self) -> None:
        self.apply(objects.ingress_class("foreign", "example.com/other"))
        self.serve("web", "a.example")
        self.asked("--watch-namespace-selector", f"kubernetes.io/metadata.name={self.namespace}")
        foreign = objects.ingress(
            self.namespace, "theirs", "b.example", "web", class_name="foreign", annotations=SNIPPET
        )
        unselected = objects.ingress(
            self.make_namespace("admission-unselected"), "unselected", "c.example", "web", annotations=SNIPPET
        )
        for made in (foreign, unselected):
            self.assertEqual(self.kubectl_apply(made).split()[1:], ["created"])

    def test_a_broken_ingress_can_still_be_labelled_and_deleted(self) -> None:
        self.serve("web", "a.example")
        broken = objects.ingress(self.namespace, "broken", "b.example", "web", annotations=SNIPPET)
        self.apply(broken)
        self.asked()
        said = self.kubectl("label", "ingress", "broken", "team=blue", check=False)
        self.assertIn("labeled", said)
        self.assertIn("Warning: ", said)
        self.kubectl("delete", "ingress", "broken")

    def test_down_or_silent_it_blocks_nobody(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.asked(seconds=1)
        os.kill(fairlead.process.pid, signal.SIGSTOP)
        started = time.monotonic()
        self.kubectl_apply(objects.ingress(self.namespace, "silent", "b.example", "web", annotations=SNIPPET))
        self.assertLess(time.monotonic() - started, 10)
        self.assertIsNotNone(self.api.find("Ingress", self.namespace, "silent"))
        fairlead.kill()
        self.kubectl_apply(objects.ingress(self.namespace, "down", "c.example", "web", annotations=SNIPPET))
        self.assertIsNotNone(self.api.find("Ingress", self.namespace, "down"))

    def test_its_certificate_is_made_once_for_all_replicas_and_told_again_when_it_was_removed(self) -> None:
        self.asked()
        self.webhook(address="10.244.2.2")
        self.eventually(lambda: self.believed("10.244.2.2"), 20)
        self.assertEqual(self.believed(), self.believed("10.244.2.2"))
        kept = self.api.get("Secret", rights.NAMESPACE, NAME)["data"]
        self.assertEqual(sorted(kept), ["ca.crt", "tls.crt", "tls.key"])
        changed = {"webhooks": self.configured()["webhooks"]}
        self.api.merge(self.configured(), changed)
        self.assertEqual(self.authority(), "")
        self.eventually(self.believed, LOOK_SECONDS + 10)
        self.assertEqual(self.api.get("Secret", rights.NAMESPACE, NAME)["data"], kept, "the certificate stays")

    def test_its_certificate_is_renewed_in_time_and_believed_all_the_while(self) -> None:
        self.serve("web", "a.example")
        # It is to be renewed when less than 30 days are left of it.
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30, seconds=15)
        first = objects.certificate_until(self.work, HOST, end)
        data = {"ca.crt": first[0], "tls.crt": first[0], "tls.key": first[1]}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": rights.NAMESPACE, "name": NAME}}
        self.apply({**secret, "data": {name: base64.b64encode(value).decode() for name, value in data.items()}})
        self.asked()
        second = "10.244.2.2"
        self.webhook(address=second)
        self.eventually(lambda: self.believed(second), 20)
        old = ssl.PEM_cert_to_DER_cert(first[0].decode())
        self.assertEqual((self.believed(), self.believed(second)), (old, old))
        deadline = time.monotonic() + 60
        served = {ADDRESS: old, second: old}
        while old in served.values():
            self.assertLess(time.monotonic(), deadline)
            served = {address: self.believed(address) for address in served}
            self.assertNotIn(None, served.values(), "what is served is believed")
            self.assertTrue(self.is_asked())
        self.assertEqual(served[ADDRESS], served[second])
        self.assertIn(first[0].decode().strip(), self.authority(), "the one before is believed for a while")

    def test_it_asks_for_nothing_beyond_its_documented_rights(self) -> None:
        before = self.cluster.audit.stat().st_size
        self.asked()
        with self.cluster.audit.open() as log:
            log.seek(before)
            lines = [line for line in log if f'"username":"{rights.USER}"' in line]
        self.assertEqual([line for line in lines if '"authorization.k8s.io/decision":"forbid"' in line], [])
        self.assertNotIn("cannot", self.replicas[0].log.read_text())
