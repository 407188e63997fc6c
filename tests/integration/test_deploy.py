"""The files in deploy/: right by their own linters, and saying what the program that they start understands.

shows: N15, N18
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.unit.test_documented_commands import wrong

from daybreak import settings
from daybreak.host.sandbox.seccomp import rules
from daybreak.web import health

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CONTAINERFILE = DEPLOY / "Containerfile"
TOOLS = Path(sys.executable).parent
PORT = settings.Web().port
VERSIONS = ("1.33", "1.37")
SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET|KEY|CREDENTIAL", re.IGNORECASE)
MERGED_LISTS = ("ports", "networks", "secrets", "configs", "volumes", "tmpfs", "cap_add", "cap_drop")


def lint(*words: Any) -> str:
    """What a linter says; empty where it has nothing to say."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or f"exit status {done.returncode}"


# -- the container file


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the container file, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(first, rest) for first, _, rest in (line.partition(" ") for line in lines)]


def told(name: str) -> list[str]:
    return [rest for first, rest in instructions() if first == name]


def arguments() -> dict[str, str]:
    return {name: value for name, _, value in (rest.partition("=") for rest in told("ARG"))}


def test_hadolint_has_nothing_to_say_and_what_is_waived_stands_in_its_configuration_with_a_reason() -> None:
    assert lint(TOOLS / "hadolint", "--disable-ignore-pragma", "-c", DEPLOY / "hadolint.yaml", CONTAINERFILE) == ""
    lines = (DEPLOY / "hadolint.yaml").read_text("utf-8").splitlines()
    waived = [place for place, line in enumerate(lines) if re.search(r"- (DL|SC)\d+", line)]
    assert waived
    assert [lines[place] for place in waived if not lines[place - 1].lstrip().startswith("#")] == []


def test_hadolint_would_notice(tmp_path: Path) -> None:
    """The test above can fail."""
    spoilt = tmp_path / "Containerfile"
    spoilt.write_text(CONTAINERFILE.read_text("utf-8").replace("ENTRYPOINT [", "ENTRYPOINT tini [") + "USER root\n")
    assert lint(TOOLS / "hadolint", "-c", DEPLOY / "hadolint.yaml", spoilt)


def test_the_image_has_a_pinned_base_no_root_and_no_secret() -> None:
    base = arguments()["BASE"]
    assert base.startswith("docker.io/library/python:")
    assert re.search(r":\d+\.\d+\.\d+-slim-\w+$", base)
    assert told("FROM") == ["${BASE} AS made", "${BASE}"]
    assert told("USER") == ["${UID}"]
    assert int(arguments()["UID"]) > 0
    assert [name for name in arguments() if SECRET_NAME.search(name)] == []
    assert not SECRET_NAME.search(" ".join(told("ENV")))


def test_the_image_has_what_the_sandbox_needs_and_only_extras_that_there_are() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(arguments()["EXTRAS"].split(",")) <= set(extras)
    assert {"postgres", "ray", "notify", "otel"} == set(arguments()["EXTRAS"].split(","))
    installed = " ".join(told("RUN"))
    assert all(program in installed for program in ("bubblewrap", "git", "tini"))


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert patterns[0] == "*"
    let_in = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copied = {word.removeprefix("./") for rest in told("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    assert let_in == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_commands_of_the_image_are_ones_that_there_are() -> None:
    [entry] = [json.loads(rest) for rest in told("ENTRYPOINT")]
    [usual] = [json.loads(rest) for rest in told("CMD")]
    [check] = [json.loads(rest.partition(" CMD ")[2]) for rest in told("HEALTHCHECK")]
    assert entry == ["tini", "--", "daybreak"]
    assert wrong(shlex.join(usual)) == ""
    assert check[0] == "daybreak"
    assert wrong(shlex.join(check[1:])) == ""
    assert told("EXPOSE") == [str(PORT)]


def test_the_filter_of_calls_refuses_what_the_sandbox_refuses_but_for_what_makes_a_sandbox() -> None:
    makes = {"mount", "umount2", "pivot_root", "sethostname", "setns", "mount_setattr", "open_tree", "move_mount"}
    never = {rule.call for rule in rules(sockets="all", own_ipc=True) if not rule.tests and rule.error == 1}
    profile = json.loads((DEPLOY / "seccomp.json").read_text("utf-8"))
    refused = {name for group in profile["syscalls"] for name in group["names"]}
    assert {group["action"] for group in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}
    assert refused == never - makes | {"io_uring_setup", "io_uring_enter", "io_uring_register"}


# -- compose


def joined(under: Any, over: Any, name: str = "") -> Any:
    """Two compose files as one, as compose does it for what ours contain."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: joined(under[key], value, key) if key in under else value for key, value in over.items()}
    if isinstance(under, list) and isinstance(over, list) and name in MERGED_LISTS:
        return under + [one for one in over if one not in under]
    return over


@cache
def compose(*names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        text = (DEPLOY / name).read_text("utf-8")
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        assert "$" not in text.replace("$$", ""), "every variable has a default"
        found = joined(found, yaml.safe_load(text.replace("$$", "$")))
    return found


COMPOSED = (("compose.yaml",), ("compose.yaml", "compose.ray.yaml"))


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_the_linter_of_compose_files_has_nothing_to_say_that_is_not_answered(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(compose(*names), sort_keys=False))
    strict = ["--strict-config"] if len(names) > 1 else []  # the answers are those to both files
    config = DEPLOY / "compose-lint.yaml"
    assert lint(TOOLS / "compose-lint", "check", "--fail-on", "low", *strict, "--config", config, file) == ""


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_compose_files_are_what_the_specification_of_compose_says(names: tuple[str, ...]) -> None:
    reader = pytest.importorskip("compose_spec", reason="compose-spec (PyPI) is not installed")
    whole = compose(*names)
    reader.PyCompose.from_yaml(yaml.safe_dump(whole)).validate()
    spoilt = whole | {"services": whole["services"] | {"more": {"image": "a:1", "comand": []}}}
    with pytest.raises(ValueError, match="comand"):
        reader.PyCompose.from_yaml(yaml.safe_dump(spoilt)).validate()


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_services_name_volumes_services_and_files_that_there_are(names: tuple[str, ...]) -> None:
    whole = compose(*names)
    for name, service in whole["services"].items():
        assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(whole["volumes"]), name
        assert set(service.get("depends_on", ())) <= set(whole["services"]), name
        assert set(service.get("secrets", ())) <= set(whole["secrets"]), name
        assert set(service.get("networks", ())) <= set(whole["networks"]), name
    assert all((DEPLOY / config["file"]).is_file() for config in whole["configs"].values())
    assert {Path(secret["file"]).parent for secret in whole["secrets"].values()} == {Path("secrets")}
    if (ROOT / ".git").exists():  # what lies there unknown to git is somebody's own
        kept = subprocess.run(
            ["git", "ls-files", DEPLOY / "secrets"], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert kept.stdout.split() == ["deploy/secrets/.gitignore"]
    assert (DEPLOY / "secrets" / ".gitignore").read_text("utf-8").splitlines()[1:] == ["*", "!.gitignore"]


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_services_are_confined_pinned_limited_and_hold_no_secret(names: tuple[str, ...]) -> None:
    for name, service in compose(*names)["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["read_only"] is True, name
        assert "privileged" not in service, name
        assert "user" not in service, name
        assert re.search(r":[\w.-]*\d[\w.-]*$", service["image"]), name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        for variable, value in service.get("environment", {}).items():
            assert not SECRET_NAME.search(variable) or str(value) in ("token",) or str(value).startswith("/run/"), (
                variable
            )
    assert compose(*names)["networks"]["ledger"] == {"internal": True}
    published = {name: service["ports"] for name, service in compose(*names)["services"].items() if "ports" in service}
    assert published == {"dashboard": [f"127.0.0.1:{PORT}:{PORT}"]}, "nothing but the dashboard, on the loopback"


LOOSENED = {"seccomp=./seccomp.json", "apparmor=unconfined", "systempaths=unconfined"}


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_only_who_has_a_sandbox_inside_is_less_confined_and_only_homes_reach_postgres(names: tuple[str, ...]) -> None:
    whole = compose(*names)
    for name, service in whole["services"].items():
        inside = name in ("coordinator-1", "coordinator-2", "ray-worker")
        assert set(service["security_opt"]) == {"no-new-privileges:true"} | (LOOSENED if inside else set()), name
        assert ("cap_add" in service) == (name == "postgres"), name
        home = any(volume.endswith(":/var/lib/daybreak") for volume in service.get("volumes", ()))
        assert home == (not name.startswith(("postgres", "ray"))), name
        assert ("ledger" in service["networks"]) == (home or name == "postgres"), name
        shared = {f"{one}:/var/lib/daybreak/{one}" for one in ("keys", "witness")} | {"work:/work"}
        assert not home or shared <= set(service["volumes"]), name
        assert name != "postgres" or service["networks"] == ["ledger"]
    homes = [volume for service in whole["services"].values() for volume in service.get("volumes", ())]
    assert all(homes.count(f"home-{number}:/var/lib/daybreak") == 1 for number in (1, 2)), "a home for each"
    assert {name for name, told in whole["networks"].items() if not (told or {}).get("internal")} == {"outside"}


def one_night_of_several(words: list[str]) -> None:
    """What matters in a command of ours, beside that it is one."""
    assert words[:2] != ["daybreak", "night"] or "--join" in words, words
    assert "--insecure" not in words
    if words[:2] == ["daybreak", "serve"]:
        assert any(word.startswith("--tls-cert=") for word in words)
        assert f"--port={PORT}" in words
        assert "--no-login-link" in words


def commands_of(service: dict[str, Any]) -> Iterator[list[str]]:
    """What it and its health check start, from `daybreak` or `ray` on."""
    health_check = service.get("healthcheck", {}).get("test", ["CMD"])[1:]
    entry = service.get("entrypoint", ["tini", "--", "daybreak"])
    whole = [*entry, *service.get("command", ["doctor"])]
    for words in (whole, health_check):
        if words[:3] == ["tini", "--", "sh"]:
            lines = [line_of(line) for line in words[-1].splitlines()]
            yield from (line for line in lines if line[0] in ("daybreak", "ray"))
            assert lines[-1][0] == "daybreak", "what comes last takes the place of the shell"
        elif words[:1] == ["tini"]:
            yield words[2:]
        elif words[:1] in (["daybreak"], ["ray"]):
            yield words


def line_of(line: str) -> list[str]:
    words = shlex.split(line)
    return words[1:] if words[:1] == ["exec"] else words


@cache
def options_of_ray() -> dict[str, set[str]]:
    """The options of each of its commands."""
    code = """
import json
from ray.scripts import scripts
print(json.dumps({name: [option for part in command.params for option in part.opts]
                  for name, command in scripts.cli.commands.items() if name in ("start", "health-check")}))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return {name: set(found) for name, found in json.loads(done.stdout.splitlines()[-1]).items()}


def why_not(words: list[str]) -> str:
    """Why this is no command; empty where it is."""
    if words[0] == "daybreak":
        return wrong(shlex.join(words[1:]))
    if words[0] != "ray":
        return f"{words[0]} is neither"
    given = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
    unknown = given - options_of_ray().get(words[1], set())
    return f"{words}: {unknown}" if unknown or words[1] not in options_of_ray() else ""


@pytest.mark.parametrize("names", COMPOSED, ids=len)
def test_what_the_services_start_is_something_that_there_is(names: tuple[str, ...]) -> None:
    services = compose(*names)["services"]
    found = [
        (name, words) for name, service in services.items() if name != "postgres" for words in commands_of(service)
    ]
    assert len(found) >= 6
    assert [f"{name}: {why}" for name, words in found if (why := why_not(words))] == []
    for name, words in found:
        one_night_of_several(words)
        told = services[name]["environment"] if words[0] == "ray" else {"RAY_AUTH_MODE": "token"}
        assert told["RAY_AUTH_MODE"] == "token", f"{name}: who reaches a Ray without one runs what they like on it"
    asked = " ".join(services["dashboard"]["healthcheck"]["test"])
    assert f"https://127.0.0.1:{PORT}/healthz" in asked
    assert "/healthz" in {getattr(route, "path", "") for route in health.router.routes}
    assert f"--port={PORT}" in services["dashboard"]["command"]


def test_what_is_no_command_is_noticed() -> None:
    """The test above can fail."""
    assert why_not(["daybreak", "night", "--joyn"])
    assert why_not(["ray", "start", "--hed"])
    assert why_not(["ray", "begin"])
    assert why_not(["bash"])


def test_the_settings_parse_and_hold_no_password(tmp_path: Path) -> None:
    embedded = {
        f"{path.relative_to(DEPLOY)}:{name}": text
        for path in sorted(DEPLOY.rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if (document or {}).get("kind") == "ConfigMap"
        for name, text in document["data"].items()
    }
    files = {path.name: path.read_text("utf-8") for path in DEPLOY.glob("*.toml")}
    assert len(embedded) == 2
    assert len(files) == 2
    for name, text in (embedded | files).items():
        file = tmp_path / "daybreak.toml"
        file.write_text(text)
        known = settings.read(file)
        assert known.ledger.postgres == "postgresql://daybreak@postgres/daybreak", name
        assert "dashboard" in known.web.hosts, name
        assert known.dispatch.engine == ("ray" if "ray" in text else "local"), name
        assert known.dispatch.allow_unauthenticated is False, name


# -- Kubernetes


@cache
def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text("utf-8")))


def patched(under: Any, over: Any) -> Any:
    """A strategic merge, for what our patches contain: lists of named things are merged by their names."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: patched(under[key], value) if key in under else value for key, value in over.items()}
    if isinstance(under, list) and isinstance(over, list) and all("name" in one for one in (*under, *over)):
        by_name = {one["name"]: one for one in under}
        return list((by_name | {one["name"]: patched(by_name.get(one["name"], {}), one) for one in over}).values())
    return over


def key_of(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


@cache
def rendered(folder: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder of ours."""
    here = KUBERNETES / folder
    [told_here] = yaml.safe_load_all((here / "kustomization.yaml").read_text("utf-8"))
    known = {"apiVersion", "kind", "resources", "patches", "images"}
    assert set(told_here) <= known, "this test reads no more of kustomize"
    found = []
    for resource in told_here["resources"]:
        path = (here / resource).resolve()
        name = str(path.relative_to(KUBERNETES))
        assert not here.is_relative_to(path), "kustomize refuses a folder that is around this one"
        assert path.is_dir() or path.parent == here, "kustomize reads no files of other folders"
        found += rendered(name) if path.is_dir() else documents(name)
    for patch in told_here.get("patches", ()):
        text = patch["patch"] if "patch" in patch else (here / patch["path"]).read_text("utf-8")
        [over] = yaml.safe_load_all(text)
        assert key_of(over) in [key_of(one) for one in found]
        found = [patched(one, over) if key_of(one) == key_of(over) else one for one in found]
    return found


FOLDERS = ("base", "ray", "full-sandbox")


def everything(folder: str) -> list[dict[str, Any]]:
    return rendered(folder) + documents("base/secrets.example.yaml")


def pods(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Templates of pods by a name for messages."""
    plain = {one["metadata"]["name"]: one["spec"]["template"] for one in found if "template" in one.get("spec", {})}
    for cluster in (one for one in found if one["kind"] == "RayCluster"):
        plain["ray head"] = cluster["spec"]["headGroupSpec"]["template"]
        plain |= {f"ray {group['groupName']}": group["template"] for group in cluster["spec"]["workerGroupSpecs"]}
    return plain


POSTGRES_PORT = [{"protocol": "TCP", "port": 5432}]


def ports_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [port for container in containers(pod) for port in container.get("ports", ())]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@cache
def validated(document: str, version: str) -> str:
    """Which version's schema it agrees with. Most documents are in all folders; each is looked at once."""
    return kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_manifests_are_what_kubernetes_own_schemas_say(folder: str, version: str) -> None:
    for document in everything(folder):
        if document["kind"] != "RayCluster":
            assert validated(json.dumps(document), version) == version, key_of(document)
    for name, pod in pods(rendered(folder)).items():
        lifted = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lifted"}, "spec": pod["spec"]}
        assert validated(json.dumps(lifted), version) == version, name


def test_a_wrong_manifest_is_noticed() -> None:
    """The test above can fail."""
    [namespace] = documents("base/namespace.yaml")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(namespace | {"spce": {}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kubectl_makes_the_same_of_a_folder_and_one_name_reaches_every_image(folder: str, tmp_path: Path) -> None:
    """Client only: no cluster is asked. What stands in `kustomization.yaml` is all that a person has to change."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    there = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, there)
    for file in there.glob("*/kustomization.yaml"):
        file.write_text(file.read_text("utf-8").replace("newName: localhost/daybreak", "newName: example.org/ours"))
    done = subprocess.run(
        ["kubectl", "kustomize", str(there / folder)],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "localhost/daybreak" not in done.stdout
    made = yaml.safe_load_all(done.stdout.replace("example.org/ours", "localhost/daybreak"))
    assert {key_of(one): sorted_lists(one) for one in made} == {
        key_of(one): sorted_lists(one) for one in rendered(folder)
    }


def sorted_lists(value: Any) -> Any:
    """With lists in one order: a strategic merge puts what is new first, which changes nothing in ours."""
    if isinstance(value, dict):
        return {key: sorted_lists(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted((sorted_lists(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_GROUP = {
    "rayStartParams": _TEXTS,
    "template": {"type": "object"},
    "labels": _TEXTS,
    "resources": _TEXTS,
}
_COUNT = {"type": "integer", "minimum": 0}


def _fields(known: dict[str, Any], *needed: str) -> dict[str, Any]:
    return {"type": "object", "properties": known, "required": list(needed), "additionalProperties": False}


RAY_CLUSTER = _fields(
    {
        "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "authOptions": _fields({"mode": {"enum": ["disabled", "token"]}, "secretName": {"type": "string"}}, "mode"),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": {"type": "object"},
        "headServiceAnnotations": _TEXTS,
        "gcsFaultToleranceOptions": {"type": "object"},
        "managedBy": {"type": "string"},
        "upgradeStrategy": {"type": "object"},
        "suspend": {"type": "boolean"},
        "headGroupSpec": _fields(
            {
                **_GROUP,
                "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                "headService": {"type": "object"},
                "enableIngress": {"type": "boolean"},
            },
            "template",
        ),
        "workerGroupSpecs": {
            "type": "array",
            "items": _fields(
                {
                    **_GROUP,
                    "groupName": {"type": "string", "pattern": "^[a-z0-9-]+$"},
                    "replicas": _COUNT,
                    "minReplicas": _COUNT,
                    "maxReplicas": _COUNT,
                    "numOfHosts": _COUNT,
                    "idleTimeoutSeconds": _COUNT,
                    "suspend": {"type": "boolean"},
                    "scaleStrategy": {"type": "object"},
                },
                *("groupName", "minReplicas", "maxReplicas", "template"),
            ),
        },
    },
    *("headGroupSpec", "rayVersion", "authOptions"),
)
"""The fields of `ray.io/v1` RayCluster as KubeRay 1.6 documents them. Pods in it are looked at as pods."""


def test_the_ray_cluster_has_the_fields_that_kuberay_documents_and_asks_for_a_token() -> None:
    import importlib.metadata

    [cluster] = [one for one in rendered("ray") if one["kind"] == "RayCluster"]
    assert cluster["apiVersion"] == "ray.io/v1"
    jsonschema.validate(cluster["spec"], RAY_CLUSTER)
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert cluster["spec"]["rayVersion"] == importlib.metadata.version("ray")
    for group in (cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]):
        assert {f"--{name}" for name in group["rayStartParams"]} <= options_of_ray()["start"]
        [node] = containers(group["template"])
        told = group["rayStartParams"].get("node-manager-port", "6379")
        assert [str(port["containerPort"]) for port in node["ports"]] == [told]
    for pod in pods(rendered("ray")).values():
        for one in containers(pod):
            said = " ".join(one.get("args", ()))
            open_there = {port["containerPort"] for port in one.get("ports", ())}
            open_there |= {int(port) for port in re.findall(r"--node-manager-port=(\d+)", said)}
            probes = [one.get(kind, {}) for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
            assert {probe["tcpSocket"]["port"] for probe in probes if "tcpSocket" in probe} <= open_there, one["name"]
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    spoilt = cluster["spec"] | {"workerGroupSpec": []}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoilt, RAY_CLUSTER)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_pod_is_root_or_may_become_it_and_each_is_limited_and_pinned(folder: str) -> None:
    found = pods(rendered(folder))
    assert {"postgres", "dashboard", "coordinator"} <= set(found)
    for name, pod in found.items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        assert pod["spec"]["securityContext"]["runAsUser"] > 0, name
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"]), name
        for container in containers(pod):
            rule = container["securityContext"]
            assert rule["allowPrivilegeEscalation"] is False, container["name"]
            assert rule["readOnlyRootFilesystem"] is True, container["name"]
            assert rule["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert re.search(r":[\w.-]*\d[\w.-]*$", container["image"]), container["name"]
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), container["name"]
            loosened = {"procMount", "seccompProfile", "appArmorProfile"} & set(rule)
            assert not loosened or (folder, container["name"]) == ("full-sandbox", "coordinator")


@pytest.mark.parametrize("folder", FOLDERS)
def test_manifests_name_volumes_secrets_settings_and_ports_that_there_are(folder: str) -> None:
    found = everything(folder)
    held = {
        one["metadata"]["name"]: set(one.get("data", ())) for one in found if one["kind"] in ("Secret", "ConfigMap")
    }
    held["ray"] = {"auth_token"}  # the operator makes it
    for owner in (one for one in found if "template" in one.get("spec", {})):
        pod = owner["spec"]["template"]
        claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", ())}
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for volume in volumes.values():
            assert set(volume) - {"name"} < {"emptyDir", "secret", "configMap"}, "nothing of the node"
            source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
            items = {item["key"] for item in volume.get("secret", {}).get("items", ())}
            assert source is None or items <= held[source], volume
        for container in containers(pod):
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= claims | set(volumes), container["name"]
            ports = {port["name"] for port in container.get("ports", ())}
            assert container["name"] != "dashboard" or container["ports"] == [{"name": "https", "containerPort": PORT}]
            for mode, what in re.findall(r"install -m (\d+) /run/secrets/(\S+)", str(container.get("args"))):
                assert mode == "0600" or what == "keys/head", "keys and passwords are for one user"
            for variable in (one for one in container.get("env", ()) if one["name"] == "RAY_AUTH_MODE"):
                assert variable["value"] == "token", container["name"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container.get(probe, {}).get("httpGet")
                assert asked is None or asked["port"] in ports, container["name"]
                assert asked is None or asked["path"] in {getattr(one, "path", "") for one in health.router.routes}
            for variable in container.get("env", ()):
                value = variable.get("value", "")
                assert not SECRET_NAME.search(variable["name"]) or value == "token" or value.startswith("/run/"), (
                    variable
                )
    assert all(set(one["data"].values()) == {""} for one in found if one["kind"] == "Secret"), "names, no values"


PRIVATE = {"10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
"""Where the cluster itself is, and the machine's own secrets: 169.254.169.254."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_services_and_rules_of_the_network_reach_pods_and_nothing_else_is_open(folder: str) -> None:
    found = rendered(folder)
    labels = [pod["metadata"]["labels"] for pod in pods(found).values()]

    def chosen(selector: dict[str, str]) -> list[dict[str, str]]:
        return [one for one in labels if selector.items() <= one.items()]

    policies = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "NetworkPolicy"}
    assert policies["closed"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, rule in policies.items():
        assert rule["podSelector"] == {} or chosen(rule["podSelector"]["matchLabels"]), name
        for way in (*rule.get("ingress", ()), *rule.get("egress", ())):
            sides = way.get("from", []) + way.get("to", [])
            assert sides, f"{name} is open to everybody"
            for side in sides:
                assert all(side.values()), f"{name}: an empty selector chooses everything"
                assert not side.get("ipBlock") or set(side["ipBlock"]["except"]) >= PRIVATE, name
                if set(side) == {"podSelector"}:
                    assert chosen(side["podSelector"]["matchLabels"]), name
    served = {port["name"]: port["containerPort"] for pod in pods(found).values() for port in ports_of(pod)}
    for service in (one for one in found if one["kind"] == "Service"):
        for port in service["spec"].get("ports", ()):
            assert served.get(port["targetPort"]) == port["port"], key_of(service)
        assert len(chosen(service["spec"]["selector"])) == 1, key_of(service)
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP", key_of(service)
    assert served["postgres"] == policies["postgres"]["ingress"][0]["ports"][0]["port"] == 5432
    assert policies["postgres"]["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": {"daybreak/ledger": "reaches"}}}], "ports": POSTGRES_PORT}
    ]
    [namespace] = [one for one in found if one["kind"] == "Namespace"]
    level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == ("privileged" if folder == "full-sandbox" else "restricted")
    [dashboard] = policies["dashboard"]["ingress"]
    assert dashboard["ports"] == [{"protocol": "TCP", "port": PORT}]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_the_pods_start_is_something_that_there_is(folder: str) -> None:
    found = []
    for pod in pods(rendered(folder)).values():
        for container in containers(pod):
            if container["name"] in ("dashboard", "coordinator", "ray"):
                entry = container.get("command", ["tini", "--", "daybreak"])
                found.append([*entry, *container["args"]][2:])
            found += [
                probe["exec"]["command"]
                for kind in ("startupProbe", "readinessProbe", "livenessProbe")
                if "exec" in (probe := container.get(kind, {})) and container["name"] != "postgres"
            ]
    assert len(found) >= 3
    assert [why for words in found if (why := why_not(words))] == []
    for words in found:
        one_night_of_several(words)


def test_the_form_of_all_files_is_right() -> None:
    assert lint(TOOLS / "yamllint", "--strict", "-c", DEPLOY / "yamllint.yaml", DEPLOY) == ""
