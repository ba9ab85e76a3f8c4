"""Workers of a recipe and the variable TF_CONFIG become one value, or an answer that names the key."""

import json

import pytest

from tfxfer.clusters import Cluster, find_cluster, parse_tf_config, problems_of
from tfxfer.errors import ConfigError

EXAMPLE = (
    ' It looks like this: {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", '
    '"index": 0}}'
)
WORKERS = ["a:1", "b:2"]


def text_of(cluster=None, task=None, **others) -> str:
    task = {"type": "worker", "index": 0} if task is None else task
    return json.dumps({"cluster": {"worker": WORKERS} if cluster is None else cluster, "task": task, **others})


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_tf_config(text)
    assert str(caught.value).endswith(EXAMPLE)
    return str(caught.value).removesuffix(EXAMPLE)


def test_tf_config_names_workers():
    cluster = parse_tf_config(text_of(task={"type": "worker", "index": 1}))
    assert cluster == Cluster(workers=("a:1", "b:2"), index=1)
    assert (cluster.address, cluster.position, cluster.is_chief) == ("b:2", 1, False)
    assert cluster.jobs == {"worker": ["a:1", "b:2"]}
    assert parse_tf_config(text_of()).is_chief


def test_a_chief_comes_before_the_workers():
    jobs = {"worker": WORKERS, "chief": ["[::1]:3"]}
    chief = parse_tf_config(text_of(jobs, {"type": "chief", "index": 0}))
    assert (chief.address, chief.position, chief.is_chief) == ("[::1]:3", 0, True)
    worker = parse_tf_config(text_of(jobs, {"type": "worker", "index": 0}))
    assert (worker.address, worker.position, worker.is_chief) == ("a:1", 1, False)
    assert chief.addresses == worker.addresses == ("[::1]:3", "a:1", "b:2")
    assert worker.jobs == jobs
    alone = parse_tf_config(text_of({"chief": ["a:1"]}, {"type": "chief", "index": 0}))
    assert alone.jobs == {"chief": ["a:1"]}
    assert alone.is_chief


def test_what_platforms_add_and_an_index_in_quotes_are_taken():
    text = text_of(task={"type": "worker", "index": "1", "trial": "x"}, environment="cloud", job={"a": 1})
    assert parse_tf_config(text).index == 1


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_an_empty_variable_names_nobody(text):
    assert parse_tf_config(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the variable TF_CONFIG is no JSON (Expecting property name"),
        ("[]", "the variable TF_CONFIG is '[]', and not an object in braces."),
        ('{"clustr": {}, "task": {}}', "has no key 'cluster', only 'clustr', 'task'. Is 'cluster' meant by 'clustr'?"),
        ('{"cluster": {}}', "has no key 'task', only 'cluster'."),
        ('{"cluster": [], "task": {}}', "has cluster=[], and not an object in braces."),
        (text_of(task=3), "has task=3, and not an object in braces."),
        (text_of({}), "has cluster={}, which names nobody: cluster.worker is missing."),
        (text_of({"worker": []}), "has cluster={'worker': []}, which names nobody: cluster.worker is missing."),
        (
            text_of({"workers": WORKERS}),
            "has a job cluster.workers, but jobs here are worker and chief. Did you mean 'worker'?",
        ),
        (text_of({"worker": WORKERS, "ps": ["c:3"]}), "has a job cluster.ps, but jobs here are worker and chief."),
        (text_of({"worker": "a:1"}), "has cluster.worker='a:1', and not a list of texts host:port."),
        (text_of({"worker": [1]}), "has cluster.worker=[1], and not a list of texts host:port."),
        (text_of({"worker": ["a:1", "b"]}), "has in cluster: 'b' is not host:port with a port from 1 to 65535"),
        (text_of({"worker": ["a:1", "a:1"]}), "has in cluster: 'a:1' stands there twice."),
        (text_of({"worker": ["a:1"], "chief": ["a:1"]}), "has in cluster: 'a:1' stands there twice."),
        (text_of({"chief": WORKERS}), "has 2 addresses in cluster.chief, and there can be one."),
        (text_of(task={"index": 0}), "has no key task.type, only 'index'."),
        (text_of(task={"type": "worker", "idx": 0}), "has no key task.index, only 'type', 'idx'."),
        (text_of(task={}), "has no key task.type, only nothing."),
        (text_of(task={"type": "wrker", "index": 0}), "has task.type='wrker', but cluster has worker. Did you mean"),
        (text_of(task={"type": "chief", "index": 0}), "has task.type='chief', but cluster has worker."),
        (
            text_of(task={"type": "worker", "index": 2}),
            "has task.index=2, which must be a whole number from 0 to 1: cluster.worker has 2 addresses.",
        ),
        (text_of(task={"type": "worker", "index": True}), "has task.index=True, which must be a whole number"),
        (text_of(task={"type": "worker", "index": "x"}), "has task.index='x', which must be a whole number"),
        (text_of(task={"type": "worker", "index": -1}), "has task.index=-1, which must be a whole number"),
    ],
)
def test_a_malformed_tf_config_names_the_key(text, message):
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("workers", "index", "problems"),
    [
        ((), 0, []),
        (("a:1", "10.0.0.1:65535", "a-b.c_d:2", "[::1]:3"), 3, []),
        ((), 1, ["task_index=1 without workers; write workers=10.0.0.1:2222,10.0.0.2:2222 too"]),
        (("a:1",), 1, ["task_index=1 must be 0 to 0: there are 1 workers"]),
        (("a:1", "b:2"), -1, ["task_index=-1 must be 0 to 1: there are 2 workers"]),
        *(
            ((text,), 0, [f"workers: {text!r} is not host:port with a port from 1 to 65535, such as 10.0.0.1:2222"])
            for text in ("a", "a:", ":1", "a:0", "a:65536", "a:1:2", "grpc://a:1", "a b:1", "::1:2")
        ),
        (("a:1", "a:1"), 0, ["workers: 'a:1' stands there twice"]),
    ],
)
def test_addresses_of_workers(workers, index, problems):
    assert problems_of(workers, index) == problems


def test_workers_come_from_the_recipe_or_the_variable():
    assert find_cluster((), 0, None) is None
    assert find_cluster((), 0, "{}") is None
    assert find_cluster(("a:1", "b:2"), 1, None) == Cluster(workers=("a:1", "b:2"), index=1)
    assert find_cluster((), 0, text_of()) == Cluster(workers=("a:1", "b:2"))
    assert find_cluster(("a:1", "b:2"), 0, text_of()) == Cluster(workers=("a:1", "b:2"))


@pytest.mark.parametrize(("workers", "index"), [(("a:1", "b:2"), 1), (("a:1",), 0), (("b:2", "a:1"), 0)])
def test_workers_that_differ_from_the_variable_are_refused(workers, index):
    with pytest.raises(ConfigError) as caught:
        find_cluster(workers, index, text_of())
    assert str(caught.value) == (
        f"workers={','.join(workers)} and task_index={index}, but the variable TF_CONFIG names a:1,b:2 and number 0. "
        "Give one of the two, or unset TF_CONFIG."
    )
