"""One model on several servers: one for each prefix, another where it is busy, and where one fails, the others."""

import json
import threading
import time

import pytest

pytest.importorskip("httpx2")

from presrm.engines import server_client, server_connection
from presrm.engines.server import ServerEngine
from presrm.engines.server_client import ServerClient
from presrm.engines.server_connection import NotTakenError
from presrm.errors import EngineError
from presrm.prompts import PromptSet
from presrm.protocols import Request
from presrm.types import Checkpoint, Problem, Step, Trajectory


@pytest.fixture(autouse=True)
def briskly(monkeypatch):
    monkeypatch.setattr(server_connection, "_REST", (0.05, 0.1))
    monkeypatch.setattr(server_client, "_BREATH", 0.02)


def reply(body):
    return 200, {"choices": [{"text": f"{body['prompt']}!"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def url(server):
    return server.model.model.partition("#")[0]


@pytest.fixture
def ask():
    """Ask several servers for as many completions."""
    opened = []

    def start(servers, num, retries=3, **options):
        address = ",".join(map(url, servers)) + "#tiny"
        client = ServerClient(address, concurrency=4, timeout=5.0, deadline=10.0, retries=retries, **options)
        opened.append(client)

        async def one(number):
            return (await client.post("/completions", {"prompt": number})).choices[0].text

        return client, lambda: client.each(range(num), one)

    yield start
    for client in opened:
        client.close()


def test_a_slow_server_gets_less(serve, ask):
    def slow(path, body):
        time.sleep(0.1)
        return reply(body)

    servers = [serve(slow), serve(lambda path, body: reply(body))]
    client, work = ask(servers, 60)
    assert work() == [f"{number}!" for number in range(60)]
    slow_one, fast = (len(server.asked) for server in servers)
    assert slow_one + fast == 60
    assert 1 <= slow_one < fast
    assert (client.tokens_read, client.tokens_generated) == (60, 60)


def test_requests_about_a_problem_meet_one_server_and_go_on_at_others_where_it_is_gone(serve):
    prompts, problems = PromptSet("compact"), [Problem(f"p{n}", f"What is {n} + 1?") for n in range(20, 40)]
    step = Step("The sum is wanted.\n")
    prefixes = [Trajectory(problem, steps) for steps in ((), (step,)) for problem in problems]
    requests = [Request(prompts.solve(prefix), 2, seed=number) for number, prefix in enumerate(prefixes)]
    requests += [Request(prompts.pointwise(prefix, step), seed=9) for prefix in prefixes]

    def answer(path, body):
        said = [message["content"] for message in body["messages"]]
        choice = {"message": {"content": f"{body.get('seed')} {said}"}, "finish_reason": "stop"}
        num_read = sum(map(len, said)) + (0 if "continue_final_message" in body else 9)
        return 200, {"choices": [choice], "usage": {"prompt_tokens": num_read}}

    servers = [serve(answer) for _ in range(2)]

    def work(*asked):
        for server in servers:
            server.asked.clear()
        with ServerEngine(Checkpoint(",".join(map(url, asked)) + "#tiny"), concurrency=200, retries=3) as engine:
            found = engine.generate(requests)
        seen = [(json.dumps(body), server) for server in servers for _, body in server.asked]
        return found, [{server for body, server in seen if problem.question in body} for problem in problems]

    found, met = work(*servers)
    assert [len(each) for each in met] == [1] * 20
    assert set().union(*met) == {*servers}
    assert work(servers[0])[0] == found
    here, gone = servers
    gone.shutdown()
    gone.server_close()
    again, met_again = work(*servers)
    assert again == found
    assert met_again == [{here}] * 20


def test_what_one_server_fails_on_another_is_asked(serve, ask):
    killed = threading.Event()

    def dies(path, body):
        if len(servers[0].asked) > 5:
            killed.set()
        return (503, {"error": {"message": "shutting down"}}) if killed.is_set() else reply(body)

    servers = [serve(dies), serve(lambda path, body: reply(body))]
    _, work = ask(servers, 40)
    assert work() == [f"{number}!" for number in range(40)]
    assert killed.is_set()
    assert len(servers[1].asked) >= 34


def test_a_server_that_is_gone_gets_nothing_until_it_is_back(serve, ask):
    states = {"is_up": True}
    first = serve(lambda path, body: reply(body) if states["is_up"] else (500, {"error": {"message": "no"}}))
    servers = [first, serve(lambda path, body: reply(body))]
    client, work = ask(servers, 12)
    work()
    assert len(first.asked) > 0
    states["is_up"] = False
    assert work() == [f"{number}!" for number in range(12)]
    states["is_up"] = True
    time.sleep(0.2)
    first.asked.clear()
    assert work() == [f"{number}!" for number in range(12)]
    assert len(first.asked) > 0, "it is asked again once it has rested and says what it has"
    assert client.tokens_read == 36


def test_an_address_where_nobody_listens_costs_nothing_but_a_try(serve, ask):
    gone, here = serve(lambda path, body: reply(body)), serve(lambda path, body: reply(body))
    gone.shutdown()
    gone.server_close()
    _, work = ask([gone, here], 20)
    assert work() == [f"{number}!" for number in range(20)]
    assert len(here.asked) == 20


def test_where_all_fail_the_last_failure_is_told(serve, ask):
    servers = [serve((503, {"error": {"message": "all busy"}})) for _ in range(2)]
    _, work = ask(servers, 3, retries=1)
    with pytest.raises(EngineError, match=r"503: all busy"):
        work()


def test_servers_that_are_all_gone_are_given_up_long_before_the_deadline(serve, ask, caplog):
    servers = [serve(lambda path, body: reply(body)) for _ in range(2)]
    for server in servers:
        server.shutdown()
        server.server_close()
    _, work = ask(servers, 40, retries=2)
    began = time.monotonic()
    with pytest.raises(EngineError, match="Connection error") as caught:
        work()
    assert time.monotonic() - began < 5, "the deadline is 10 s"
    assert "\n" not in str(caught.value)
    assert len(caplog.messages) == 2, "each is told once"


def test_requests_that_fail_together_are_one_failure(serve, ask, monkeypatch):
    monkeypatch.setattr(server_connection, "_REST", (1.0, 100.0))
    servers, together = [], threading.Barrier(4)

    def fails(path, body):
        together.wait(5)
        return 503, {"error": {"message": "gone"}}

    servers += [serve(fails), serve(lambda path, body: reply(body))]
    _, work = ask(servers, 40)
    assert work() == [f"{number}!" for number in range(40)]
    assert len(servers[0].asked) == 4, "as many as there is room for, then none"
    time.sleep(1.1)
    servers[0].answer = lambda path, body: reply(body)
    servers[0].asked.clear()
    work()
    assert len(servers[0].asked) > 0, "after the first rest, not after four of them"


def test_a_server_that_comes_back_with_another_model_stays_alone(serve, ask, monkeypatch):
    servers = [serve((503, {"error": {"message": "restarts"}})), serve(lambda path, body: reply(body))]
    servers[0].names = ["other"]
    _, work = ask(servers, 20)
    work()
    assert len(servers[0].asked) > 0
    servers[0].answer = lambda path, body: reply(body)
    servers[0].asked.clear()
    for _ in range(3):
        time.sleep(0.1)
        work()
    assert servers[0].asked == []


def test_one_that_has_another_model_from_the_start_is_told(serve):
    reason = "The model `tiny` does not exist."
    servers = [serve((404, {"error": {"message": reason, "type": "NotFoundError", "code": 404}})) for _ in range(2)]
    address = ",".join(map(url, servers)) + "#tiny"
    for checkpoint in (servers[0].model, Checkpoint(address)):
        with (
            ServerEngine(checkpoint) as engine,
            pytest.raises(EngineError, match=rf"^http://127.0.0.1:\d+/v1: 404: {reason}$") as caught,
        ):
            engine.generate([Request(PromptSet("compact").solve(Trajectory(Problem("1", "1 + 1?"))))])
        assert not isinstance(caught.value, NotTakenError), "else it would be asked in another way"


def test_a_server_is_tried_again_when_it_says(serve, ask, monkeypatch):
    monkeypatch.setattr(server_connection, "_BACK_OFF", (30.0, 30.0))
    busy = {"Retry-After": "0.05"}
    _, work = ask([serve((429, {"error": {"message": "busy"}}, busy), reply({"prompt": 0}))], 1)
    began = time.monotonic()
    assert work() == ["0!"]
    assert 0.05 <= time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:45 GMT", 5),
        ("Thu, 01 Jan 1970 00:01:45 -0000", 5),
        ("Thu, 01 Jan 1970 00:01:39 GMT", None),
        ("Thu, 01 Jan 1970 01:00:00 GMT", None),
        ("61", None),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("Thu, 99 Jan 99999 00:01:45 GMT", None),
        ("", None),
    ],
)
def test_when_a_server_wants_to_be_asked_again(monkeypatch, told, seconds):
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert server_connection._seconds(told) == seconds


def test_what_is_not_taken_is_not_tried_elsewhere(serve, ask):
    servers = [serve((404, {"error": {"message": "no such address"}})) for _ in range(2)]
    _, work = ask(servers, 1)
    with pytest.raises(NotTakenError):
        work()
    assert sum(len(server.asked) for server in servers) == 1


def test_what_servers_had_in_their_caches_is_counted_where_they_say_so(serve, ask):
    told = iter([{"cached_tokens": 7}, None, {"cached_tokens": 5}, {}, {"cached_tokens": 99}])

    def cached(path, body):
        status, answer = reply(body)
        return status, answer | {"usage": {"prompt_tokens": 10, "prompt_tokens_details": next(told)}}

    client, work = ask([serve(cached)], 5)
    assert client.tokens_recalled is None, "unknown is not zero"
    work()
    assert client.tokens_recalled == 7 + 5 + 10, "no more than a prompt has"
    assert client.tokens_read == 50 - 22
