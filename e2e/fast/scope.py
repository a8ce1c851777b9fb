"""Whose an Ingress is, and what may be read for it: classes, namespaces, rights."""

from __future__ import annotations

import ssl

from cluster.api import path
from harness import objects, rights
from harness.case import FastCase
from harness.controller import Controller

PUBLISH = ("--publish-status-address", "192.0.2.10")
OLD = "kubernetes.io/ingress.class"


class Scope(FastCase):
    """Every flag that decides it, with its opposite."""

    def is_served(self, fairlead: Controller, host: str) -> bool:
        """Whether an Ingress of ours has the host."""
        return fairlead.get(host).pod == "web"

    def classed(self, name: str, class_name: str | None = None, old: str | None = None) -> None:
        """An Ingress `name` of the host NAME.example with a class in the field, or in the annotation of old."""
        marks = {OLD: old} if old else {}
        made = objects.ingress(
            self.namespace, name, f"{name}.example", "web", class_name=class_name, annotations=marks
        )
        self.apply(made)

    def has_address(self, name: str) -> bool:
        """Whether the status of an Ingress shows one."""
        return bool(self.api.get("Ingress", self.namespace, name)["status"]["loadBalancer"])

    def read_by_us(self, since: int) -> list[str]:
        """Audit lines of what the controller asked since a length of the log."""
        with self.cluster.audit.open() as log:
            log.seek(since)
            return [line for line in log if f'"username":"{rights.USER}"' in line]

    def assert_nothing_forbidden(self, since: int) -> None:
        """The API server refused nothing that was asked."""
        lines = self.read_by_us(since)
        self.assertTrue(lines)
        self.assertEqual([line for line in lines if '"authorization.k8s.io/decision":"forbid"' in line], [])

    def test_each_flag_of_the_class_decides_as_in_ingress_nginx(self) -> None:
        self.serve("web", "a.example")
        self.apply(
            objects.ingress_class("nginx", "k8s.io/ingress-nginx"), objects.ingress_class("own", "example.com/own"),
            objects.ingress_class("named", "example.com/other"),
        )  # fmt: skip
        for name in ("nginx", "own", "named", "nowhere"):
            self.classed(f"field-{name}", class_name=name)
            self.classed(f"old-{name}", old=name)
        self.classed("none")
        for flags, served in (
            ((), {"a"}),
            (("--watch-ingress-without-class",), {"a", "none"}),
            (("--ingress-class", "named"), {"a", "old-named"}),
            (("--ingress-class", "named", "--ingress-class-by-name"), {"a", "old-named", "field-named"}),
            (("--controller-class", "example.com/own", "--ingress-class", "own"), {"field-own", "old-own"}),
            (("--controller-class", "k8s.io/ingress-nginx", "--ingress-class", "nginx"), {"field-nginx", "old-nginx"}),
        ):
            with self.subTest(" ".join(flags)):
                fairlead = self.controller(*flags)
                hosts = {route["host"].removesuffix(".example") for route in fairlead.admin("routes")["routes"]}
                self.assertEqual(hosts, served)
                for name in ("a", "none", "field-named"):
                    self.assertEqual(self.is_served(fairlead, f"{name}.example"), name in served, name)
                fairlead.kill()

    def test_a_class_that_comes_later_or_is_of_another_name_acts_at_once(self) -> None:
        self.serve("web", "a.example")
        self.classed("later", class_name="later")
        fairlead = self.controller()
        self.assertEqual(fairlead.get("later.example").status, 404)
        self.apply(objects.ingress_class("later"))
        self.eventually(lambda: self.is_served(fairlead, "later.example"), 3)

    def test_a_namespace_that_is_not_watched_is_neither_served_nor_asked_for(self) -> None:
        other = self.make_namespace("not-watched")
        self.serve("web", "a.example")
        self.apply(
            objects.service(other, "web"), objects.endpoints(other, "web", ["10.244.1.1"]),
            objects.ingress(other, "web", "b.example", "web"),
        )  # fmt: skip
        before = self.cluster.audit.stat().st_size
        fairlead = self.controller(*PUBLISH, "--watch-namespace", self.namespace)
        self.assertTrue(self.is_served(fairlead, "a.example"))
        self.assertEqual(fairlead.get("b.example").status, 404)
        in_all = [line for line in self.read_by_us(before) if f'/namespaces/{self.namespace}/' not in line]
        kinds = ("/ingresses", "/services", "/endpointslices", "/secrets", "/pods")
        self.assertEqual([line for line in in_all if any(f"{kind}?" in line for kind in kinds)], [])

    def test_rights_in_one_namespace_are_enough_for_one_namespace(self) -> None:
        pair = objects.certificate(self.work, "a.example")
        self.apply(objects.tls_secret(self.namespace, "tls", *pair))
        self.serve("web", "a.example", tls="tls")
        pki = self.make_namespace("scope-pki")
        default = objects.certificate(self.work, "default.example")
        self.apply(objects.tls_secret(pki, "default", *default), objects.tls_secret(pki, "more", *default))
        self.api.delete({"kind": "ClusterRoleBinding", "metadata": {"name": rights.USER}})
        self.apply(*rights.inside(self.namespace), *rights.classes(), *rights.one_secret(pki, "default"))
        before = self.cluster.audit.stat().st_size
        flags = ("--watch-namespace", self.namespace, "--default-ssl-certificate", f"{pki}/default")
        fairlead = self.controller(*PUBLISH, *flags)
        answer = fairlead.get_tls("a.example")
        self.assertEqual((answer.pod, answer.certificate), ("web", ssl.PEM_cert_to_DER_cert(pair[0].decode())))
        self.assertEqual(
            fairlead.get_tls("nobody.example").certificate, ssl.PEM_cert_to_DER_cert(default[0].decode())
        )
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "nowhere"))
        self.eventually(lambda: self.events() and self.has_address("web"))
        self.assert_nothing_forbidden(before)

    def test_without_the_right_to_read_classes_the_annotation_counts_and_one_line_says_so(self) -> None:
        self.serve("web", "a.example")
        self.classed("old", old=objects.CLASS)
        self.api.delete({"kind": "ClusterRoleBinding", "metadata": {"name": rights.USER}})
        self.apply(*rights.inside(self.namespace))
        fairlead = self.controller("--watch-namespace", self.namespace)
        self.assertTrue(self.is_served(fairlead, "old.example"))
        self.assertEqual(fairlead.get("a.example").status, 404)
        lines = [line for line in fairlead.log.read_text().splitlines() if "ingressclasses" in line]
        self.assertTrue(any("list" in line or "watch" in line for line in lines), lines)
        self.assertGreater(fairlead.metric('^fairlead_problems.*"WatchForbidden"'), 0)
        self.apply(*rights.classes())
        self.eventually(lambda: self.is_served(fairlead, "a.example"), 20)

    def test_a_namespace_is_served_while_its_labels_match_the_selector(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller(*PUBLISH, "--watch-namespace-selector", "team=blue")
        self.assertEqual(fairlead.get("a.example").status, 404)
        self.make_namespace(self.namespace, team="blue")
        self.eventually(lambda: self.is_served(fairlead, "a.example"))
        self.make_namespace(self.namespace, team="red")
        self.eventually(lambda: fairlead.get("a.example").status == 404)

    def test_a_namespace_and_a_selector_exclude_each_other(self) -> None:
        fairlead = self.controller(
            "--watch-namespace", self.namespace, "--watch-namespace-selector", "team=blue", wait=False
        )
        self.assertEqual(fairlead.process.wait(10), 2)
        lines = fairlead.log.read_text().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("--watch-namespace-selector", lines[0])

    def test_only_secrets_that_an_ingress_of_ours_names_are_read(self) -> None:
        pair = objects.certificate(self.work, "a.example")
        for name in ("named", "unnamed", "foreign"):
            self.apply(objects.tls_secret(self.namespace, name, *pair))
        self.apply(objects.ingress_class("foreign", "example.com/other"))
        self.serve("web", "a.example", tls="named")
        self.apply(
            objects.ingress(self.namespace, "theirs", "b.example", "web", tls="foreign", class_name="foreign")
        )
        proxy = self.proxy()
        self.controller(proxy=proxy)
        read = {each.path for each in proxy.seen if each.method == "GET" and each.path.split("/")[-2] == "secrets"}
        self.assertEqual(read, {path("Secret", self.namespace, "named")})
        for each in proxy.seen:
            if each.plural == "secrets" and (each.is_list or each.is_watch):
                self.assertIn("type", each.query.get("fieldSelector", ""), each)

    def test_nothing_is_asked_that_the_documented_rights_do_not_allow(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "nowhere"))
        before = self.cluster.audit.stat().st_size
        self.controller(*PUBLISH, "--watch-namespace-selector", f"kubernetes.io/metadata.name={self.namespace}")
        self.eventually(lambda: self.events() and self.has_address("web"))
        self.assert_nothing_forbidden(before)
