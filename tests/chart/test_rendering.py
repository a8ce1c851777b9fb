"""What the values make of the objects."""

from __future__ import annotations

import unittest

import helm

CONTROLLER = "fairlead-controller"
READ = ("get", "list", "watch")


class Pods(unittest.TestCase):
    def test_the_default_pod_is_locked_down(self) -> None:
        objects = helm.render({})
        context = helm.container(objects)["securityContext"]
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertEqual((context["runAsUser"], context["runAsNonRoot"]), (65532, True))
        self.assertTrue(context["readOnlyRootFilesystem"])
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        pod = helm.one(objects, "Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["securityContext"]["sysctls"], [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}])
        self.assertNotIn("lifecycle", helm.container(objects))

    def test_the_nodes_network_needs_a_capability_only_for_low_ports(self) -> None:
        objects = helm.render(helm.cases()["hostnetwork"])
        context = helm.container(objects, "DaemonSet")["securityContext"]
        self.assertEqual(context["capabilities"], {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
        self.assertEqual((context["runAsUser"], context["runAsNonRoot"]), (0, False))
        pod = helm.one(objects, "DaemonSet")["spec"]["template"]["spec"]
        self.assertNotIn("securityContext", pod)
        self.assertEqual(pod["dnsPolicy"], "ClusterFirstWithHostNet")
        high = helm.render(helm.cases()["hostnetwork-high-ports"])
        context = helm.container(high)["securityContext"]
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertEqual(context["runAsUser"], 65532)
        self.assertIn("--http-port=8080", helm.flags(high))
        self.assertIn("--https-port=8443", helm.flags(high))

    def test_an_update_loses_no_pod_first_but_where_two_do_not_fit_a_node(self) -> None:
        surge = helm.one(helm.render({}), "Deployment")["spec"]["strategy"]["rollingUpdate"]
        self.assertEqual(surge, {"maxSurge": "25%", "maxUnavailable": 0})
        host = helm.render({"controller": {"hostPort": {"enabled": True}}})
        self.assertEqual(helm.one(host, "Deployment")["spec"]["strategy"]["rollingUpdate"], {"maxSurge": 0, "maxUnavailable": 1})
        daemons = helm.one(helm.render(helm.cases()["daemonset"]), "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"]
        self.assertEqual(daemons, {"maxSurge": 1, "maxUnavailable": 0})

    def test_readiness_is_readyz_whatever_a_file_says(self) -> None:
        container = helm.container(helm.render(helm.cases()["ingress-nginx-usual"]))
        self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz")
        self.assertEqual(container["readinessProbe"]["periodSeconds"], 10)
        self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/healthz")

    def test_probes_follow_the_health_port_and_path(self) -> None:
        values = {"controller": {"metrics": {"port": 9254}, "healthCheckPath": "/alive"}}
        container = helm.container(helm.render(values))
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/alive", "port": 9254, "scheme": "HTTP"})
        self.assertEqual(container["readinessProbe"]["httpGet"]["port"], 9254)
        self.assertIn("--health-port=9254", container["args"])
        self.assertIn("--health-check-path=/alive", container["args"])
        by_flag = helm.container(helm.render({"controller": {"extraArgs": {"healthz-port": 9255}}}))
        self.assertEqual(by_flag["livenessProbe"]["httpGet"]["port"], 9255)
        self.assertIn({"name": "metrics", "containerPort": 9255, "protocol": "TCP"}, by_flag["ports"])

    def test_a_user_id_of_ten_digits_keeps_them(self) -> None:
        context = helm.container(helm.render({"controller": {"image": {"runAsUser": 1000660000}}}))["securityContext"]
        self.assertEqual(context["runAsUser"], 1000660000)

    def test_own_affinity_adds_to_the_soft_default(self) -> None:
        pod = helm.one(helm.render(helm.cases()["scheduling"]), "Deployment")["spec"]["template"]["spec"]
        self.assertEqual(set(pod["affinity"]), {"nodeAffinity", "podAntiAffinity"})
        self.assertNotIn("topologySpreadConstraints", pod)

    def test_images(self) -> None:
        def image(values: dict) -> str:
            return helm.container(helm.render({"controller": {"image": values}}))["image"]

        self.assertEqual(image({}), "ghcr.io/fairlead-dev/fairlead:0.1.0")
        self.assertEqual(image({"repository": "localhost/fairlead", "tag": "dev"}), "localhost/fairlead:dev")
        self.assertEqual(image({"tag": None, "digest": None}), "ghcr.io/fairlead-dev/fairlead:0.1.0")
        mirrored = helm.render(helm.cases()["image"])
        self.assertRegex(helm.container(mirrored)["image"], "^registry.example.com/mirror/fairlead-dev/fairlead:0.1.0@sha256:")


class Flags(unittest.TestCase):
    def test_extra_args_win_repeat_and_stand_alone(self) -> None:
        flags = helm.flags(helm.render(helm.cases()["config"]))
        for flag in ("--v=2", "--metrics-per-host=false", "--disable-catch-all", "--limit=body=8m", "--limit=keep-alive-idle=60s"):
            self.assertIn(flag, flags)
        own = helm.flags(helm.render({"controller": {"extraArgs": {"ingress-class": "own", "publish-status-address": "192.0.2.1"}}}))
        self.assertEqual([flag for flag in own if flag.startswith(("--ingress-class", "--publish"))], ["--ingress-class=own", "--publish-status-address=192.0.2.1"])

    def test_the_published_service_is_the_one_that_is_there(self) -> None:
        self.assertIn(f"--publish-service=edge/{CONTROLLER}", helm.flags(helm.render({})))
        self.assertIn(f"--publish-service=edge/{CONTROLLER}-internal", helm.flags(helm.render(helm.cases()["service-internal-only"])))
        hidden = helm.render(helm.cases()["daemonset-hostport"])
        self.assertFalse([flag for flag in helm.flags(hidden, "DaemonSet") if flag.startswith("--publish")])

    def test_values_that_repeat_defaults_of_the_program_agree_with_them(self) -> None:
        objects = helm.render({})
        defaults = helm.defaults()
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in helm.flags(objects)[1:])
        for name in ("ingress-class", "controller-class", "election-id"):
            self.assertEqual(flags[name], defaults[name], name)
        ports = {port["name"]: str(port["containerPort"]) for port in helm.container(objects)["ports"]}
        expected = {"http": defaults["http-port"], "https": defaults["https-port"], "metrics": defaults["health-port"]}
        self.assertEqual(ports, expected)
        self.assertEqual(helm.container(objects)["livenessProbe"]["httpGet"]["path"], defaults["health-check-path"])
        self.assertEqual(defaults["enable-metrics"], "true")
        self.assertEqual(defaults["update-status"], "true")
        ends = helm.one(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        self.assertLess(int(flags["shutdown-grace-period"]) + int(defaults["drain-timeout"].removesuffix("s")), ends)

    def test_the_version_is_that_of_the_program(self) -> None:
        version = next(line for line in (helm.ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version"))
        chart = (helm.CHART / "Chart.yaml").read_text()
        self.assertIn(f"appVersion: {version.split('=')[1].strip()}\n", chart)


class Services(unittest.TestCase):
    def test_annotations_and_large_numbers_are_text(self) -> None:
        service = helm.one(helm.render(helm.cases()["service"]), "Service", CONTROLLER)
        self.assertEqual(service["metadata"]["annotations"]["example.com/number"], "3600")
        self.assertEqual(service["metadata"]["annotations"]["example.com/release"], "fairlead")
        settings = helm.one(helm.render(helm.cases()["config"]), "ConfigMap", CONTROLLER)["data"]
        self.assertEqual(settings["hsts-max-age"], "31536000")
        self.assertEqual(settings["enable-brotli"], "true")
        self.assertEqual(settings["add-headers"], "edge/fairlead-custom-add-headers")

    def test_the_family_is_the_clusters_choice(self) -> None:
        spec = helm.one(helm.render({}), "Service", CONTROLLER)["spec"]
        self.assertNotIn("ipFamilies", spec)
        self.assertNotIn("ipFamilyPolicy", spec)

    def test_the_internal_service_has_its_own_type_and_ports(self) -> None:
        spec = helm.one(helm.render(helm.cases()["service-internal"]), "Service", f"{CONTROLLER}-internal")["spec"]
        self.assertEqual(spec["type"], "NodePort")
        self.assertEqual([(port["port"], port.get("nodePort")) for port in spec["ports"]], [(8080, 30080), (443, None)])

    def test_node_ports_of_tcp_and_udp(self) -> None:
        ports = helm.one(helm.render(helm.cases()["service-nodeport"]), "Service", CONTROLLER)["spec"]["ports"]
        self.assertEqual(
            {port["name"]: (port["protocol"], port.get("nodePort")) for port in ports},
            {"https": ("TCP", 30443), "9000-tcp": ("TCP", 30090), "9001-tcp": ("TCP", None), "53-udp": ("UDP", 30053)},
        )


class Disruption(unittest.TestCase):
    def budget(self, controller: dict) -> dict | None:
        found = helm.of_kind(helm.render({"controller": controller}), "PodDisruptionBudget")
        return {key: value for key, value in found[0]["spec"].items() if key != "selector"} if found else None

    def test_one_pod_has_no_budget_and_two_have_one(self) -> None:
        self.assertIsNone(self.budget({}))
        self.assertEqual(self.budget({"replicaCount": 2}), {"minAvailable": 1})
        self.assertEqual(self.budget({"replicaCount": 2, "maxUnavailable": 1}), {"maxUnavailable": 1})

    def test_a_scaled_budget_never_blocks_the_drain_of_a_node(self) -> None:
        self.assertEqual(self.budget({"autoscaling": {"enabled": True}}), {"maxUnavailable": 1})
        self.assertEqual(self.budget({"autoscaling": {"enabled": True, "minReplicas": 3}}), {"minAvailable": 1})

    def test_scaling_leaves_the_number_of_pods_alone(self) -> None:
        objects = helm.render(helm.cases()["scaling"])
        self.assertNotIn("replicas", helm.one(objects, "Deployment")["spec"])
        metrics = helm.one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
        self.assertEqual([metric["resource"]["name"] for metric in metrics], ["cpu"])


class Rights(unittest.TestCase):
    def test_cluster_wide_rights_are_these_and_no_others(self) -> None:
        objects = helm.render({})
        watched = ("configmaps", "pods", "secrets", "services", "networking.k8s.io/ingresses", "discovery.k8s.io/endpointslices", "networking.k8s.io/ingressclasses")
        expected = {(resource, verb, "") for resource in watched for verb in READ}
        expected |= {("networking.k8s.io/ingresses/status", "patch", "")}
        expected |= {("events.k8s.io/events", verb, "") for verb in ("create", "patch")}
        self.assertEqual(helm.rules(objects, "ClusterRole", "edge:fairlead"), expected)
        lease = "coordination.k8s.io/leases"
        own = {(lease, "create", ""), (lease, "get", "fairlead-leader"), (lease, "update", "fairlead-leader")}
        self.assertEqual(helm.rules(objects, "Role", "fairlead"), own)

    def test_nodes_and_namespaces_are_read_only_where_a_value_needs_it(self) -> None:
        def readable(values: dict) -> set[str]:
            allowed = {resource for resource, _, _ in helm.rules(helm.render(values), "ClusterRole", "edge:fairlead")}
            return allowed & {"nodes", "namespaces"}

        self.assertEqual(readable({"controller": {"publishService": {"enabled": False}}}), {"nodes"})
        self.assertEqual(readable({"controller": {"enableTopologyAwareRouting": True}}), {"nodes"})
        self.assertEqual(readable({"rbac": {"nodes": True}}), {"nodes"})
        self.assertEqual(readable({"controller": {"scope": {"namespaceSelector": "a=b"}}}), {"namespaces"})

    def test_what_is_not_written_may_not_be_written(self) -> None:
        values = {"controller": {"extraArgs": {"update-status": "false", "events": False}}}
        verbs = {verb for _, verb, _ in helm.rules(helm.render(values), "ClusterRole", "edge:fairlead")}
        self.assertEqual(verbs, set(READ))

    def test_namespaced_rights_stay_in_the_namespace(self) -> None:
        objects = helm.render({"rbac": {"scope": True}, "controller": {"scope": {"enabled": True, "namespace": "shop"}, "ingressClassResource": {"enabled": False}}})
        self.assertEqual(helm.of_kind(objects, "ClusterRole"), [])
        self.assertEqual({role["metadata"]["namespace"] for role in helm.of_kind(objects, "Role")}, {"shop", "edge"})
        self.assertNotIn("secrets", {resource for resource, _, _ in helm.rules(objects, "Role", "fairlead")})
        both = helm.render(helm.cases()["scope-namespaced"])
        self.assertEqual({name for _, _, name in helm.rules(both, "Role", "fairlead-certificate")}, {"wildcard"})

    def test_the_webhook_may_write_its_two_objects(self) -> None:
        objects = helm.render(helm.cases()["webhook"])
        name = "fairlead-admission.edge"
        kind = "admissionregistration.k8s.io/validatingwebhookconfigurations"
        cluster = helm.rules(objects, "ClusterRole", "edge:fairlead")
        self.assertLessEqual({(kind, "get", name), (kind, "patch", name)}, cluster)
        own = helm.rules(objects, "Role", "fairlead")
        self.assertLessEqual({("secrets", "get", "fairlead-admission"), ("secrets", "update", "fairlead-admission")}, own)
        self.assertEqual(helm.one(objects, "ValidatingWebhookConfiguration")["metadata"]["name"], name)
        self.assertNotIn("data", helm.one(objects, "Secret", "fairlead-admission"))
        managed = helm.render(helm.cases()["webhook-cert-manager"])
        self.assertFalse(any(kind == resource for resource, _, _ in helm.rules(managed, "ClusterRole", "edge:fairlead")))


class TakeOver(unittest.TestCase):
    def test_shadow_touches_nothing(self) -> None:
        objects = helm.render(helm.cases()["take-over-shadow"])
        flags = helm.flags(objects, "DaemonSet")
        for flag in ("--controller-class=k8s.io/ingress-nginx", "--ingress-class=nginx", "--metrics-compat=nginx", "--update-status=false", "--events=false"):
            self.assertIn(flag, flags)
        self.assertEqual(helm.of_kind(objects, "IngressClass"), [])
        spec = helm.one(objects, "Service", CONTROLLER)["spec"]
        self.assertEqual(spec["type"], "ClusterIP")
        self.assertFalse({"loadBalancerIP", "externalTrafficPolicy"} & spec.keys())
        self.assertFalse([port for port in spec["ports"] if "nodePort" in port])
        self.assertNotIn("hostNetwork", helm.one(objects, "DaemonSet")["spec"]["template"]["spec"])
        self.assertFalse([port for port in helm.container(objects, "DaemonSet")["ports"] if "hostPort" in port])
        verbs = {verb for _, verb, _ in helm.rules(objects, "ClusterRole", "edge:fairlead")}
        self.assertEqual(verbs, set(READ))

    def test_the_class_is_made_when_asked(self) -> None:
        ingress_class = helm.one(helm.render(helm.cases()["take-over"]), "IngressClass")
        self.assertEqual((ingress_class["metadata"]["name"], ingress_class["spec"]["controller"]), ("nginx", "k8s.io/ingress-nginx"))

    def test_aliases_are_never_default(self) -> None:
        classes = helm.of_kind(helm.render(helm.cases()["ingressclass"]), "IngressClass")
        default = {item["metadata"]["name"] for item in classes if "ingressclass.kubernetes.io/is-default-class" in item["metadata"]["annotations"]}
        self.assertEqual((len(classes), default), (3, {"edge"}))


class Notes(unittest.TestCase):
    def test_keys_without_effect_and_unknown_keys_are_listed(self) -> None:
        values = {"controller": {"image": {"chroot": True}, "keda": {"enabled": True}, "replicaCont": 2, "service": {"loadBalancerIp": "192.0.2.1"}}}
        text = helm.notes(values)
        for line in (
            "controller.image.chroot: there is no nginx to lock in",
            "controller.keda: KEDA is not supported yet",
            "controller.replicaCont: this chart has no such key",
            "controller.service.loadBalancerIp: this chart has no such key",
        ):
            self.assertIn(f"  - {line}", text)

    def test_a_plain_installation_has_nothing_to_complain_about(self) -> None:
        text = helm.notes({})
        self.assertNotIn("HAVE NO EFFECT", text)
        self.assertNotIn("WARNING", text)
        self.assertIn("ingressClassName: fairlead", text)

    def test_of_the_usual_values_only_the_jobs_have_no_effect(self) -> None:
        text = helm.notes(helm.cases()["ingress-nginx-usual"])
        lines = [line for line in text.splitlines() if line.startswith("  - controller.")]
        self.assertEqual(lines, ["  - controller.admissionWebhooks.patch: the controller makes its certificate itself"])

    def test_a_pod_that_is_killed_too_soon_is_warned_of(self) -> None:
        self.assertIn("may need 310 seconds", helm.notes({"controller": {"config": {"worker-shutdown-timeout": "5m"}}}))

    def test_root_on_the_nodes_network_is_said(self) -> None:
        self.assertIn("NET_BIND_SERVICE", helm.notes(helm.cases()["hostnetwork"]))


if __name__ == "__main__":
    unittest.main()
