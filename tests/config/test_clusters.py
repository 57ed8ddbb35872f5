"""compose.yaml and the examples for clusters name files, variables and mounts that the images have."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
STARTUP = (DEPLOY / "image/bin/startup.sh").read_text()
VARIABLES = set(re.findall(r"\$\{(\w+)", "".join(file.read_text() for file in (DEPLOY / "config").glob("*.json"))))
STARTED_WITH = VARIABLES | {"ROLE", "DB_SSH"}  # of either image
MOUNTED = re.compile(r"/config/(sync\.json|wp\.secret|wordpress/[A-Z_]+|tunnel/(key|known_hosts))")
WORDPRESS = (DEPLOY / "image/wp-config.php").read_text()
SITE = {"cap_drop": ["ALL"], "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL"]}


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def check_mount(target: str) -> None:
    """A file of /config is one that startup.sh or syncd reads."""
    assert MOUNTED.fullmatch(target), target
    if target.startswith("/config/wordpress/"):
        assert target.rsplit("/", 1)[1].removesuffix("_KEY").removesuffix("_SALT") in WORDPRESS


@pytest.mark.parametrize("name", ["compose.yaml", "examples/swarm.yaml"])
def test_services_fit_the_images(name: str) -> None:
    (stack,) = documents(name)
    kinds = set()
    for service in stack["services"].values():
        kinds.add(service["image"])
        assert set(service.get("environment", {})) <= STARTED_WITH
        if service["image"] == "site":
            assert service["environment"]["ROLE"] in ("primary", "secondary")
            assert service["environment"]["AGENT"]
            assert {key: service[key] for key in SITE} == SITE
            assert service["stop_grace_period"] == "90s"
        else:
            assert service["read_only"]
            assert service["user"] == "33:33"
    assert kinds == {"site", "syncd"}


def test_the_stack_names_what_it_declares() -> None:
    (stack,) = documents("examples/swarm.yaml")
    used: dict[str, set[str]] = {"configs": set(), "secrets": set()}
    for service in stack["services"].values():
        for kind, names in used.items():
            names.update(each["source"] for each in service[kind])
            for each in service[kind]:
                check_mount(each["target"])
                assert each.get("mode", 0o400) == 0o400
    assert all(stack[kind].keys() == names for kind, names in used.items())
    for config in stack["configs"].values():
        assert (DEPLOY / "examples" / config["file"]).is_file()


def test_kubernetes_objects_belong_together() -> None:
    objects = {(each["kind"], each["metadata"]["name"]): each for each in documents("examples/kubernetes.yaml")}
    assert objects.keys() == {
        ("Service", "agent"),
        ("StatefulSet", "agent"),
        ("Deployment", "site"),
        ("Service", "site"),
    }
    for (kind, name), each in objects.items():
        if kind == "Service":
            assert each["spec"]["selector"] == {"app": name}
            continue
        assert (
            each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"] == {"app": name}
        )
        pod = each["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        claims = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())}
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | claims
            assert {variable["name"] for variable in container.get("env", ())} <= STARTED_WITH
        for source in volumes["config"]["projected"]["sources"]:
            (found,) = source.values()
            assert found["name"] == "site"
            for item in found["items"]:
                check_mount(f"/config/{item['path']}")


def test_secrets_in_the_walkthrough_are_those_of_the_files() -> None:
    """What docs/CLUSTERS.md makes is what the files ask for."""
    text = (DEPLOY.parent / "docs/CLUSTERS.md").read_text()
    (stack,) = documents("examples/swarm.yaml")
    made = set(re.findall(r"docker secret create (\w+)", text))
    names = re.search(r"for name in (.*); do", text)
    assert names is not None
    assert made | {name.lower() for name in names[1].split()} == stack["secrets"].keys()
    assert set(re.findall(r"--from-file=([a-z.]+\.json)=", text)) == {"agent.json", "container.json"}
    assert {"tunnel-key", "tunnel-known-hosts"} == set(re.findall(r"--from-file=(tunnel[a-z-]+)=", text))


def test_a_site_that_is_placed_by_startup_reads_all_of_it() -> None:
    """The table of mounts above is the one that startup.sh knows."""
    assert all(part in STARTUP for part in ('"$config"/wordpress/*', '"$config/tunnel/key"', '"$config"/*.secret'))


def test_the_programs_of_an_image_on_top_are_started() -> None:
    """Where docs/CLUSTERS.md puts consul.conf, startup.sh looks."""
    text = (DEPLOY.parent / "docs/CLUSTERS.md").read_text()
    place = re.search(r"COPY deploy/examples/consul\.conf (\S+)", text)
    assert place is not None
    assert f"for file in {place[1]}*.conf" in STARTUP
