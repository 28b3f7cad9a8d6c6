"""Whatever bytes come, the gate answers quickly, raises nothing, and agrees with pyrad on what it lets through."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from pyrad.packet import AuthPacket

from tenants.access import Code, is_sound, read
from tests.radius.conftest import request

attribute = st.builds(
    lambda kind, value: bytes([kind, len(value) + 2]) + value, st.integers(1, 255), st.binary(max_size=40)
)


@given(st.binary(max_size=4200))
@example(b"\x01\x00\x00\x14" + bytes(16))
@example(b"\x01\x00\x10\x00" + bytes(4092))
def test_any_bytes(data: bytes) -> None:
    packet = read(data)
    if packet is not None:
        assert len(packet.raw) == int.from_bytes(data[2:4]) <= len(data)
        is_sound(packet, b"secret")


@given(st.sampled_from([1, 4, 12]), st.lists(attribute, max_size=20))
def test_what_passes_can_be_read_by_pyrad(code: int, attributes: list[bytes]) -> None:
    body = b"".join(attributes)
    packet = read(bytes([code, 1]) + (20 + len(body)).to_bytes(2) + bytes(16) + body)
    if packet is not None:
        AuthPacket(packet=packet.raw)


@given(st.text(max_size=60), st.binary(min_size=1, max_size=40))
def test_signatures_agree_with_pyrad(user: str, secret: bytes) -> None:
    made = request(secret.decode("latin-1"), user or "x")
    made.secret = secret
    raw = made.RequestPacket()
    packet = read(raw)
    assert packet is not None
    assert packet.code is Code.ACCESS_REQUEST
    assert is_sound(packet, secret) == bool(AuthPacket(packet=raw, secret=secret).verify_message_authenticator())
    assert not is_sound(packet, secret + b"x")
