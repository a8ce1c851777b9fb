"""Every values file in `ci/`: it lints, renders alike with every Helm, and gives objects that Kubernetes takes."""

from __future__ import annotations

import json
import re
import unittest

import helm
import kubernetes_validate

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "IngressClass", "ValidatingWebhookConfiguration"}


class Cases(unittest.TestCase):
    def test_every_case_lints(self) -> None:
        for program in helm.HELMS:
            for name, file in helm.cases().items():
                with self.subTest(helm=program, case=name):
                    done = helm.run(program, "lint", "--strict", helm.CHART, "--kube-version", helm.KUBERNETES[1], "-f", file)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_helm_renders_the_same(self) -> None:
        for name, file in helm.cases().items():
            with self.subTest(case=name):
                rendered = [_sorted(helm.render(file, program)) for program in helm.HELMS]
                for other in rendered[1:]:
                    self.assertEqual(rendered[0], other)

    def test_every_object_is_valid_in_the_oldest_and_newest_kubernetes(self) -> None:
        for version in helm.KUBERNETES:
            for name, file in helm.cases().items():
                for item in helm.render(file):
                    if item["apiVersion"] in helm.FOREIGN:
                        continue
                    with self.subTest(version=version, case=name, kind=item["kind"], name=item["metadata"]["name"]):
                        kubernetes_validate.validate(item, version, strict=True)

    def test_the_oldest_kubernetes_is_taken_and_older_ones_are_not(self) -> None:
        self.assertTrue(helm.render({}, version=helm.KUBERNETES[0]))
        self.assertIn("kubeVersion", helm.refusal({}, version="1.32.9"))

    def test_no_two_objects_are_the_same(self) -> None:
        for name, file in helm.cases().items():
            with self.subTest(case=name):
                keys = [_key(item) for item in helm.render(file)]
                self.assertEqual(sorted(keys), sorted(set(keys)))

    def test_every_object_has_its_namespace_and_labels(self) -> None:
        file = helm.cases()["names"]
        for item in helm.render(file):
            with self.subTest(key=_key(item)):
                labels = item["metadata"]["labels"]
                self.assertEqual(labels["team"], "platform")
                self.assertEqual(labels["version"], "2")
                self.assertEqual(labels["app.kubernetes.io/name"], "edge")
                if item["kind"] not in CLUSTER_WIDE:
                    self.assertEqual(item["metadata"]["namespace"], "edge-system")

    def test_every_label_value_is_one(self) -> None:
        value = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
        for name, file in helm.cases().items():
            for item in helm.render(file):
                for text in item["metadata"].get("labels", {}).values():
                    with self.subTest(case=name, key=_key(item)):
                        self.assertRegex(text, value)

    def test_services_select_pods_and_name_ports_that_are_there(self) -> None:
        for name, file in helm.cases().items():
            objects = helm.render(file)
            workloads = [item for kind in ("Deployment", "DaemonSet") for item in helm.of_kind(objects, kind)]
            templates = [item["spec"]["template"] for item in workloads]
            for service in helm.of_kind(objects, "Service"):
                with self.subTest(case=name, service=service["metadata"]["name"]):
                    selected = [pod for pod in templates if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
                    self.assertTrue(selected)
                    for pod in selected:
                        ports = [port for one in pod["spec"]["containers"] for port in one.get("ports", [])]
                        known = {port["name"] for port in ports} | {port["containerPort"] for port in ports}
                        for port in service["spec"]["ports"]:
                            self.assertIn(port["targetPort"], known)

    def test_port_names_are_short_enough(self) -> None:
        for name, file in helm.cases().items():
            for kind in ("Deployment", "DaemonSet"):
                for item in helm.of_kind(helm.render(file), kind):
                    for one in item["spec"]["template"]["spec"]["containers"]:
                        for port in one.get("ports", []):
                            with self.subTest(case=name, port=port["name"]):
                                self.assertLessEqual(len(port["name"]), 15)

    def test_flags_are_flags_of_the_program(self) -> None:
        for name, file in helm.cases().items():
            objects = helm.render(file)
            for kind in ("Deployment", "DaemonSet"):
                for item in helm.of_kind(objects, kind):
                    if item["metadata"]["labels"]["app.kubernetes.io/component"] != "controller":
                        continue
                    command, *flags = item["spec"]["template"]["spec"]["containers"][0]["args"]
                    self.assertEqual(command, "serve")
                    for flag in flags:
                        with self.subTest(case=name, flag=flag):
                            self.assertIn(flag.removeprefix("--").split("=")[0], helm.defaults().keys())

    def test_every_role_is_bound_to_the_account(self) -> None:
        for name, file in helm.cases().items():
            objects = helm.render(file)
            for kind in ("Role", "ClusterRole"):
                for role in helm.of_kind(objects, kind):
                    with self.subTest(case=name, role=role["metadata"]["name"]):
                        binding = helm.one(
                            [item for item in objects if item["metadata"].get("namespace") == role["metadata"].get("namespace")],
                            f"{kind}Binding",
                            role["metadata"]["name"],
                        )
                        self.assertEqual(binding["roleRef"]["name"], role["metadata"]["name"])


def _key(item: dict) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _sorted(objects: list[dict]) -> list[str]:
    return sorted(json.dumps(item, sort_keys=True) for item in objects)


if __name__ == "__main__":
    unittest.main()
