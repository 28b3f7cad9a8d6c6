"""What the crash points share with the folders whose scenes they run."""

from tests.access.conftest import scene
from tests.jobs.conftest import factory, job
from tests.payments.test_by_hand import hand
from tests.radius.conftest import wire

__all__ = ["factory", "hand", "job", "scene", "wire"]
