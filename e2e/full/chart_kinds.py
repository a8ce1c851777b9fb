"""One real installation of every kind that the chart offers, and of a values file written for ingress-nginx."""

from __future__ import annotations

from cluster import tools
from cluster.control_plane import ADDRESS
from harness import client, objects
from harness.chart import CHART, CONTROLLER, ECHO, RELEASE, ChartCase

# Kinds of the Prometheus operator, which the usual values ask for.
MONITORING = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


class Kinds(ChartCase):
    """Each serves an Ingress and leaves nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))
        self.backend("web")

    def install(self, *words: str, **values: object) -> None:
        """As usual, but it ends at once: nobody sends requests then."""
        super().install(*words, controller__shutdownGracePeriod=0, **values)

    def case(self, name: str) -> tuple[str, str]:
        """The flags for a values file of the chart."""
        return "--values", str(CHART / "ci" / f"{name}-values.yaml")

    def answers(self, address: str, port: int = 80, host: str | None = None, path: str = "/") -> None:
        """The back end answers there, in a moment."""
        asked = lambda: client.get(address, host or self.host, path, port=port)  # noqa: E731
        self.eventually(lambda: (asked().pod or "").startswith("web-"), 20, f"{address}:{port} answers: {asked()}")

    def test_a_daemon_set_answers_on_the_ports_of_the_node_and_publishes_its_address(self) -> None:
        before = self.everything()
        self.install(*self.case("daemonset-hostport"))
        self.apply(objects.ingress(self.namespace, "web", self.host, "web"))
        self.answers(ADDRESS)
        row = lambda: self.kubectl("get", "ingress", "web", "--no-headers").split()  # noqa: E731
        self.eventually(lambda: row()[3] == ADDRESS, 20, f"the node's address in {row()}")
        self.leaves_nothing(before)

    def test_an_internal_service_answers_beside_the_external_one(self) -> None:
        before = self.everything()
        self.install(*self.case("service-internal"))
        self.apply(objects.ingress(self.namespace, "web", self.host, "web"))
        self.answers(self.balancer(CONTROLLER))
        self.answers(ADDRESS, 30080)
        self.leaves_nothing(before)

    def test_with_rights_in_one_namespace_only_that_one_is_served(self) -> None:
        other = self.make_namespace(f"{self.namespace[:20]}-other")
        before = self.everything()
        self.install(
            controller__scope={"enabled": True, "namespace": self.namespace}, rbac__scope=True, controller__name="own"
        )
        self.apply(
            objects.ingress(self.namespace, "web", self.host, "web"),
            objects.ingress(other, "web", f"other.{self.host}", "web"),
        )
        address = self.balancer("fairlead-own")
        self.answers(address)
        self.assertEqual(client.get(address, f"other.{self.host}").status, 404)
        may = lambda namespace: self.kubectl(  # noqa: E731
            "auth", "can-i", "get", "secrets", "-n", namespace, "--as", f"system:serviceaccount:{self.namespace}:{RELEASE}",
            check=False,
        ).split()[0]  # fmt: skip
        self.assertEqual((may(self.namespace), may(other)), ("yes", "no"))
        self.leaves_nothing(before)

    def test_a_values_file_with_the_most_usual_values_of_ingress_nginx_runs(self) -> None:
        for kind, plural in MONITORING.items():
            self.kubectl_apply(_definition(kind, plural))
            self.addCleanup(self.kubectl, "delete", "crd", f"{plural}.monitoring.coreos.com")
            self.kubectl("wait", "--for=condition=Established", f"crd/{plural}.monitoring.coreos.com")
        before = self.everything()
        # One node has room for one of the Pods that by these values must not share a node: no second one, no default back end.
        self.install(
            *self.case("ingress-nginx-usual"), controller__replicaCount=1, controller__autoscaling__minReplicas=1,
            defaultBackend__enabled=False,
        )  # fmt: skip
        address = self.balancer(CONTROLLER)
        route = objects.ingress(self.namespace, "web", self.host, "web", class_name=None)
        # These values let the webhook block whatever it cannot judge yet.
        self.eventually(lambda: "web created" in self.kubectl_apply(route), 30, "the webhook admits it")
        self.answers(address)
        self.assertEqual(self.api.get("Ingress", self.namespace, "web")["spec"].get("ingressClassName"), "nginx")
        self.leaves_nothing(before)

    def test_the_plain_manifests_install_it_without_helm(self) -> None:
        manifests = ("-f", str(tools.CHECKOUT / "manifests" / "fairlead.yaml"), "-n", RELEASE)
        before = self.everything()
        self.addCleanup(self.kubectl, "delete", "--ignore-not-found", *manifests, "--wait=false")
        self.kubectl("apply", *manifests)
        self.kubectl("rollout", "status", f"deployment/{CONTROLLER}", "-n", RELEASE, "--timeout=120s")
        self.apply(objects.ingress(self.namespace, "web", self.host, "web"))
        self.answers(self.balancer(CONTROLLER, RELEASE))
        self.kubectl("delete", *manifests, "--wait=false")
        self.kubectl("delete", "ingress", "web")
        self.eventually(lambda: not self.api.list("Pod", RELEASE), 60, "its Pods are gone")
        # Kubernetes looks again at a namespace that had Pods after half their grace period.
        self.eventually(lambda: self.everything() - before <= {f"namespace/{RELEASE}"}, 60, "nothing is left")


def _definition(kind: str, plural: str) -> dict:
    group = "monitoring.coreos.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }
