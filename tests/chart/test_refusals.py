"""What the chart refuses, and in which words."""

from __future__ import annotations

import unittest

import helm

# Values, and a part of the sentence that refuses them.
REFUSALS = [
    # A typo where it hurts.
    ({"controler": {}}, "controler"),
    ({"compat": {"ingressNgnix": {}}}, "ingressNgnix"),
    ({"compat": {"ingressNginx": {"shadows": True}}}, "shadows"),
    ({"rbac": {"scoped": True}}, "scoped"),
    ({"serviceAccount": {"created": False}}, "created"),
    ({"controller": {"scope": {"enable": True}}}, "enable"),
    ({"controller": {"hostPort": {"enable": True}}}, "enable"),
    ({"controller": {"autoscaling": {"minReplica": 2}}}, "minReplica"),
    ({"controller": {"publishService": {"path": "a/b"}}}, "path"),
    ({"controller": {"ingressClassResource": {"names": "x"}}}, "names"),
    ({"controller": {"service": {"nodePorts": {"htp": 30080}}}}, "htp"),
    # A value of the wrong kind.
    ({"controller": {"kind": "Statefulset"}}, "kind"),
    ({"controller": {"replicaCount": "two"}}, "replicaCount"),
    ({"controller": {"hostNetwork": "true"}}, "hostNetwork"),
    ({"controller": {"service": {"type": "Loadbalancer"}}}, "type"),
    ({"controller": {"service": {"externalTrafficPolicy": "local"}}}, "externalTrafficPolicy"),
    ({"controller": {"service": {"ipFamilies": ["ipv4"]}}}, "ipFamilies"),
    ({"controller": {"containerPort": {"http": 80800}}}, "containerPort"),
    ({"controller": {"extraArgs": ["--v=2"]}}, "extraArgs"),
    ({"controller": {"config": {"proxy-body-size": ["8m"]}}}, "config"),
    ({"controller": {"image": {"digest": "latest"}}}, "digest"),
    ({"controller": {"admissionWebhooks": {"failurePolicy": "fail"}}}, "failurePolicy"),
    ({"controller": {"ingressClassResource": {"name": "Edge"}}}, "name"),
    ({"tcp": {"http": "default/game:9000"}}, "'http' does not match"),
    ({"tcp": {"9000": "game:9000"}}, "tcp"),
    # What contradicts itself.
    ({"rbac": {"scope": True}}, "controller.scope.enabled must be true too"),
    ({"compat": {"ingressNginx": {"shadow": True}}}, "only with compat.ingressNginx.enabled"),
    ({"compat": {"ingressNginx": {"createClass": True}}}, "only with compat.ingressNginx.enabled"),
    ({"tcp": {"80": "default/web:80"}}, "tcp names port 80, which is controller.containerPort.http"),
    ({"tcp": {"10254": "default/web:80"}}, "tcp names the health port"),
    ({"portNamePrefix": "far-too-long", "udp": {"5353": "a/b:53"}}, "longer than the 15 characters"),
    ({"controller": {"extraArgs": {"default-ssl-cert": "a/b"}}}, "the program has no flag --default-ssl-cert"),
    # An image of ingress-nginx.
    ({"controller": {"image": {"tag": "v1.11.2"}}}, "name an image of ingress-nginx"),
    ({"controller": {"image": {"image": "ingress-nginx/controller"}}}, "name an image of ingress-nginx"),
    ({"controller": {"image": {"repository": "mirror.example.com/ingress-nginx/controller"}}}, "drop the keys"),
    ({"global": {"image": {"registry": "registry.k8s.io"}}}, "name an image of ingress-nginx"),
    # strict.
    ({"strict": True, "controller": {"replicaCont": 2}}, "controller.replicaCont: this chart has no such key"),
    ({"strict": True, "controller": {"image": {"chroot": True}}}, "controller.image.chroot: there is no nginx"),
    ({"strict": True, "dhParam": "QUJD"}, "dhParam: there are no ciphers"),
]

# What looks odd and is taken.
TAKEN = [
    {"enabled": True, "tags": {"edge": True}, "global": {"storageClass": "fast", "image": {"registry": "example.com"}}},
    {"x-defaults": {"a": 1}},
    {"controller": {"resources": None, "nodeSelector": None, "extraArgs": None, "config": None, "service": {"annotations": None}}},
    {"controller": {"replicaCont": 2}},
    {"strict": True},
    {"strict": True, "controller": {"enableMimalloc": True, "image": {"chroot": False}, "keda": {"enabled": False}}},
    {"podSecurityPolicy": {"enabled": True}},
]


class Refusals(unittest.TestCase):
    def test_what_cannot_be_installed_is_refused_in_a_sentence(self) -> None:
        for values, words in REFUSALS:
            with self.subTest(values=values):
                self.assertIn(words, helm.refusal(values))

    def test_what_looks_odd_is_taken(self) -> None:
        for values in TAKEN:
            with self.subTest(values=values):
                helm.render(values)


if __name__ == "__main__":
    unittest.main()
