"""The user's environment as our programs see it."""

import os
import urllib.request

import httpx
import pytest

from flows.surroundings import cleaned
from tests.homes import SHELL


def test_variables_of_the_shells_prefect_and_mlflow_are_removed():
    environment = cleaned(SHELL)
    left = {name for name in environment if name.startswith(("PREFECT_", "MLFLOW_", "_MLFLOW_"))}
    assert left == {"PREFECT_SERVER_ANALYTICS_ENABLED", "MLFLOW_DISABLE_TELEMETRY"}
    assert environment["DO_NOT_TRACK"] == "1"


def test_the_settings_of_the_users_own_prefect_server_are_kept():
    variables = {
        "PREFECT_API_URL": "https://prefect.example/api",
        "PREFECT_API_KEY": "k",
        "MLFLOW_RUN_ID": "r",
    }
    environment = cleaned(variables)
    assert (environment["PREFECT_API_URL"], environment["PREFECT_API_KEY"]) == (
        "https://prefect.example/api",
        "k",
    )
    assert "MLFLOW_RUN_ID" not in environment
    assert "PREFECT_API_KEY" not in cleaned({**variables, "PREFECT_API_URL": ""})


def test_settings_meant_for_xray_are_kept():
    variables = {
        "MLFLOW_S3_ENDPOINT_URL": "http://store:9000",
        "AWS_ACCESS_KEY_ID": "a",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "XRAY_HOME": "/x",
        "PATH": "/bin",
        "HTTP_PROXY": "http://proxy:3128",
    }
    assert variables.items() <= cleaned(variables).items()


@pytest.mark.parametrize(
    "variables", [{}, {"NO_PROXY": "a.example, 127.0.0.1"}, {"no_proxy": "b.example"}, {"NO_PROXY": "*"}]
)
def test_this_machine_is_reached_without_a_proxy_and_others_as_before(monkeypatch, variables):
    """As urllib and httpx understand it, which Prefect and MLflow use."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    environment = cleaned(
        {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9", **variables}, "10.1.2.3"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for host in (
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "a.example" if "NO_PROXY" in variables else "localhost",
    ):
        assert urllib.request.proxy_bypass(f"{host}:4200") or urllib.request.proxy_bypass(host), host
        with httpx.Client() as client:
            assert client._transport_for_url(httpx.URL(f"http://{host}:4200/")) is client._transport, host
    with httpx.Client() as client:
        transport = client._transport_for_url(httpx.URL("http://c.example/"))
    assert (transport is client._transport) == (variables == {"NO_PROXY": "*"})
    assert bool(urllib.request.proxy_bypass("c.example")) == (variables == {"NO_PROXY": "*"})


def test_an_unsupported_proxy_does_not_keep_httpx_from_this_machine(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(ImportError):
        httpx.Client()
    environment = cleaned(os.environ)
    assert "ALL_PROXY" not in environment
