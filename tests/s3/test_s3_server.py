"""The contract of a location, by a real S3 server."""

import pytest
from contract.storage import SharedLocationContract
from harness.gateway import Server
from typing_extensions import override

from helpers.storage.location import Location, locate

pytestmark = pytest.mark.services


class TestS3Server(SharedLocationContract):
    """The contract by Versity's server."""

    @pytest.fixture
    @override
    def location(self, at_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Location:
        bucket = tmp_path_factory.mktemp("contract-").name
        at_server.make_client().create_bucket(Bucket=bucket)
        return locate(f"s3://{bucket}") / "a folder/é"
