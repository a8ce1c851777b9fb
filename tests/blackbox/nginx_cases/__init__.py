"""What ingress-nginx does, annotation by annotation and key by key, as tables of requests and answers."""

from collections.abc import Iterator

from . import access, answers, backends, canaries, connections, forwarding, messages, ours, paths, redirects, snippets
from .table import Group


def groups() -> Iterator[Group]:
    """All of them, in the order in which they are run."""
    for module in (paths, redirects, access, canaries, backends, answers, forwarding, snippets, connections, messages, ours):
        yield from module.GROUPS
