"""A server on this machine, for whoever asks one."""

import pytest
from fake_server import FakeServer


@pytest.fixture
def serve():
    """Start a server that answers by a function, or gives the queued answers in turn, the last one for ever."""
    servers = []

    def start(*answers):
        left = list(answers)

        def next_one(path, body):
            return left.pop(0) if len(left) > 1 else left[0]

        servers.append(FakeServer(answers[0] if callable(answers[0]) else next_one))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
