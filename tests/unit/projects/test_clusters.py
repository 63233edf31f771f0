"""Clusters that a project declares, and the node types that ship."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakemill.core.errors import ConfigError
from lakemill.core.planning import Cluster, NodeType, exact
from lakemill.projects import json_schema
from lakemill.projects.clusters import ASSUMED_SPEED, ASSUMED_START, shipped
from lakemill.projects.load import load_project

GIB = 2**30


def declared(folder, text: str) -> tuple[Cluster, ...]:
    (folder / "lakemill.yml").write_text(f"bundle: {{name: x}}\n{text}")
    return load_project(folder).settings.clusters


def test_a_cluster_of_a_shipped_type_that_grows(tmp_path):
    (found,) = declared(
        tmp_path,
        "resources: {clusters: {prod: {node_type_id: m6i.4xlarge, kind: ray, autoscale: {max_workers: 16}}}}",
    )
    node = NodeType(
        name="m6i.4xlarge",
        cores=16,
        memory_bytes=int(64 * GIB * 0.9),
        core_speed=ASSUMED_SPEED,
        network_bytes_per_second=6.25e9 / 8,
        price_per_hour=0.768,
    )
    assert found == Cluster(
        name="prod",
        node=node,
        max_nodes=16,
        driver_nodes=1,
        start_seconds=ASSUMED_START,
        lanes=("ray",),
        assumed=("start_seconds", "core_speed"),
    )


def test_a_machine_of_one_s_own_is_taken_as_it_is_described(tmp_path):
    (found,) = declared(
        tmp_path,
        """
node_types:
  rack: {cores: 48, memory_gib: 256, core_speed: 1.2, tflop_per_second: 2, price_per_hour: 0, accelerators: 2,
         accelerator_memory_gib: 48, accelerator_tflop_per_second: 180, accelerator_gb_per_second: 25}
resources:
  clusters:
    big: {node_type_id: rack, start_seconds: 0}
""",
    )
    assert (found.min_nodes, found.max_nodes, found.driver_nodes, found.lanes, found.assumed) == (1, 1, 0, (), ())
    assert found.start_seconds == exact(0)
    assert found.node == NodeType(
        name="rack",
        cores=48,
        memory_bytes=int(256 * GIB * 0.9),
        core_speed=exact(1.2),
        flop_per_second=2e12,
        price_per_hour=0.0,
        accelerators=2,
        accelerator_memory_bytes=48 * GIB,
        accelerator_flop_per_second=1.8e14,
        accelerator_bytes_per_second=2.5e10,
    )


def test_a_price_of_one_s_own_is_laid_over_the_shipped_one(tmp_path):
    clusters = "resources: {clusters: {w: {node_type_id: r5.16xlarge, num_workers: 4, kind: spark}}}\n"
    (plain,) = declared(tmp_path, clusters)
    (cheaper,) = declared(tmp_path, clusters + "node_types: {r5.16xlarge: {price_per_hour: 2.5}}\n")
    assert (plain.min_nodes, plain.max_nodes, plain.paid_nodes(1)) == (4, 4, 5)
    assert cheaper == replace(plain, node=replace(plain.node, price_per_hour=2.5))
    assert plain.node.price_per_hour == 4.032


def test_a_reference_may_stand_for_a_number(tmp_path):
    (found,) = declared(
        tmp_path,
        "variables: {size: {default: 3}}\n"
        'resources: {clusters: {w: {node_type_id: m6i.8xlarge, num_workers: "${var.size}"}}}',
    )
    assert found.max_nodes == 3


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        (
            "{w: {node_type_id: m6i.4xlage}}",
            "lakemill.yml:2:28: resources.clusters.w.node_type_id: no node type 'm6i.4xlage'; did you mean m6i.4xlarge?",
        ),
        (
            "{w: {node_type_id: m6i.4xlarge, kind: rya}}",
            "lakemill.yml:2:55: resources.clusters.w.kind: no such engine: 'rya'; did you mean ray?",
        ),
        (
            "{here: {node_type_id: m6i.4xlarge}}",
            "lakemill.yml:2:24: resources.clusters.here: that is what this machine is called; choose another name",
        ),
        (
            "{w: {node_type_id: m6i.4xlarge, kind: local, num_workers: 2}}",
            (
                "lakemill.yml:2:55: resources.clusters.w.kind: local is one machine; leave out num_workers and autoscale, "
                "or choose another kind"
            ),
        ),
        (
            "{w: {node_type_id: m6i.4xlarge, num_workers: 2, autoscale: {max_workers: 4}}}",
            (
                "lakemill.yml:2:55: resources.clusters.w.num_workers: a cluster has a fixed number of workers or grows; "
                "drop num_workers or autoscale"
            ),
        ),
        (
            "{w: {node_type_id: m6i.4xlarge, autoscale: {min_workers: 4, max_workers: 2}}}",
            (
                "lakemill.yml:2:83: resources.clusters.w.autoscale.max_workers: must be min_workers or more, got 2, "
                "below min_workers=4"
            ),
        ),
        (
            "{w: {node_type_id: m6i.4xlarge, autoscale: {max_worker: 2}}}",
            "lakemill.yml:2:67: unknown key 'resources.clusters.w.autoscale.max_worker'; did you mean max_workers?",
        ),
        (
            "{w: {num_workers: 1}}",
            "lakemill.yml:2:24: key 'resources.clusters.w.node_type_id' is required",
        ),
    ],
)
def test_a_wrong_cluster_is_told_with_its_place(tmp_path, clusters, expected):
    with pytest.raises(ConfigError) as caught:
        declared(tmp_path, f"resources: {{clusters: {clusters}}}")
    assert expected in caught.value.message.replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("node_type", "words"),
    [
        ("rack: {cores: 8}", ("node_types.rack.memory_gib", "that does not ship needs it")),
        ("m6i.4xlage: {price_per_hour: 1}", ("node_types.m6i.4xlage.cores", "did you mean m6i.4xlarge?")),
        (
            "m6i.4xlarge: {accelerators: 1}",
            ("node_types.m6i.4xlarge.accelerator_memory_gib", "accelerator_tflop_per_second"),
        ),
        ("rack: {cores: 0, memory_gib: 8}", ("node_types.rack.cores", "greater than or equal to 1")),
        ("rack: {cores: 8, memory: 8}", ("unknown key 'node_types.rack.memory'", "memory_gib")),
    ],
)
def test_a_wrong_node_type_is_told(tmp_path, node_type, words):
    with pytest.raises(ConfigError) as caught:
        declared(tmp_path, f"node_types: {{{node_type}}}")
    assert all(word in caught.value.message for word in words), caught.value.message


def test_what_ships_is_whole_dated_and_plausible():
    assert {one.cloud for one in shipped().values()} == {"aws", "azure", "gcp"}
    for name, one in shipped().items():
        assert not one.lacking, name
        assert one.network_gbit_per_second, name
        assert (one.price_per_hour is None) == (one.source == "") == (one.read == "") == (one.region == ""), name
        if one.price_per_hour is not None and not one.accelerators:
            # Clouds of 2026 ask 3 to 7 cents for a core with 4 to 8 GiB, and some 0.4 cents for a further one.
            beyond = max(0.0, one.memory_gib / one.cores - 8) * 0.004
            assert 0.03 < one.price_per_hour / one.cores - beyond < 0.07, name


def test_the_schema_knows_clusters():
    schema = json_schema()
    assert {"node_type_id", "num_workers", "autoscale", "kind", "start_seconds"} == set(
        schema["$defs"]["DeclaredCluster"]["properties"]
    )
    assert "node_types" in schema["properties"]
