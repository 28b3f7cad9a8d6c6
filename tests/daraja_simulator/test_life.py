"""Several simulators in one process, one after the other and beside each other."""

from __future__ import annotations

import pytest
import requests

from rehearsal.daraja.simulator import Simulator
from rehearsal.servers import free_port

_TOKEN = "/oauth/v1/generate?grant_type=client_credentials"


def _phone(sim: Simulator, msisdn: str) -> int:
    return requests.get(f"{sim.base_url}/phone/{msisdn}", timeout=5).status_code


def test_a_port_is_free_again_as_soon_as_a_simulator_is_closed() -> None:
    port = free_port()
    for _ in range(20):
        with Simulator().serve(port) as sim:
            assert _phone(sim, "254712345678") == 200


def test_a_taken_port_is_an_error_and_the_one_who_has_it_goes_on() -> None:
    with Simulator().serve() as first:
        with pytest.raises(OSError, match="in use"):
            Simulator().serve(int(first.base_url.rpartition(":")[2]))
        assert _phone(first, "254712345678") == 200


def test_simulators_share_addresses_and_nothing_else() -> None:
    with Simulator().serve() as one, Simulator().serve() as other:
        one.add_app("key", "secret", "600100", passkey="passkey")
        answers = [requests.get(f"{sim.base_url}{_TOKEN}", auth=("key", "secret"), timeout=5) for sim in (one, other)]
        assert [answer.status_code for answer in answers] == [200, 400]
